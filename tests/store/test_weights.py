"""Final weights that were asked for: whose, how good, and how many."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.store import open_store
from orchestrator.store.weights import DamagedWeights, best_of

GROUP = best_of("sweep", "task")


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"), create=True)


def test_what_is_kept_comes_back_with_its_loss_and_a_changed_bit_is_damage(store):
    assert store.weights.find("ab") is None
    store.weights.keep("ab", 1.25, b"weights")
    kept = store.weights.find("ab")
    assert (kept.cell_id, kept.val_loss, store.weights.load(kept)) == ("ab", 1.25, b"weights")
    assert store.check().weights == 1
    store.blobs.replace(kept.key, b"weighty")
    with pytest.raises(DamagedWeights):
        store.weights.load(kept)
    assert [broken.key for broken in store.check().damaged] == [kept.key]


@pytest.mark.parametrize("order", list(itertools.permutations([3.0, 1.0, 2.0, 0.5])))
def test_the_best_stay_in_whatever_order_they_come(store, order):
    for loss in order:
        store.weights.keep(f"{int(loss * 10):02x}", loss, b"w", group=GROUP, most=2)
    assert [one.val_loss for one in store.weights.files()] == [0.5, 1.0]


def test_a_worse_one_is_not_written_and_other_groups_are_left_alone(store):
    store.weights.keep("aa", 9.0, b"w")
    assert store.weights.keep("bb", 1.0, b"w", group=GROUP, most=1)
    assert not store.weights.keep("cc", 2.0, b"w", group=GROUP, most=1)
    assert store.weights.keep("cc", 2.0, b"w", group=best_of("other", "task"), most=1)
    assert [one.cell_id for one in store.weights.files()] == ["bb", "cc", "aa"]


def test_a_cell_that_is_measured_again_takes_no_second_place(store):
    for _ in range(2):
        assert store.weights.keep("bb", 1.0, b"w", group=GROUP, most=2)
    assert len(store.weights.files()) == 1
