"""Blobs that try again: with growing waits, for as long as their patience, and never where a store was replaced."""

from __future__ import annotations

import pytest

from orchestrator.errors import StoreReplaced, Unreachable
from orchestrator.store.blobs import Blobs
from orchestrator.store.local_blobs import LocalBlobs
from orchestrator.store.patience import FIRST_WAIT_S, LONGEST_WAIT_S, PatientBlobs
from orchestrator.store.store import Store


class Clock:
    """A clock that runs while somebody sleeps, and remembers each sleep."""

    def __init__(self):
        self.now, self.slept = 50.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Failing(LocalBlobs):
    """A folder each of whose calls raises what is left in ``failures``, first to last, and then works."""

    def __init__(self, root, failures):
        super().__init__(root)
        self.failures = list(failures)

    def _reachable(self, verb, key, **keywords):
        if self.failures:
            raise self.failures.pop(0)
        return super()._reachable(verb, key, **keywords)


CALLS = {
    "put_new": lambda blobs: blobs.put_new("results/b", b"x"),
    "replace": lambda blobs: blobs.replace("results/b", b"x"),
    "get": lambda blobs: blobs.get("results/a"),
    "exists": lambda blobs: blobs.exists("results/a"),
    "list": lambda blobs: blobs.list("results"),
    "children": lambda blobs: blobs.children(),
    "inventory": lambda blobs: {key: stored.size_bytes for key, stored in blobs.inventory().items()},
    "move": lambda blobs: blobs.move("results/a", "damaged/a"),
    "delete": lambda blobs: blobs.delete("results/a"),
}


@pytest.fixture
def there(tmp_path):
    blobs = LocalBlobs(tmp_path)
    blobs.put_new("results/a", b"there")
    return tmp_path


def _patient(root, failures, patience_s=300.0):
    clock = Clock()
    return PatientBlobs(Failing(root, failures), patience_s, now_s=clock, sleep=clock.sleep), clock


def test_every_method_of_blobs_is_tried_here():
    public = {name for name in vars(Blobs) if not name.startswith("_")}
    assert public - {"insist_on"} == set(CALLS)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_fails_a_few_times_is_answered_as_if_it_had_not(there, call):
    expected = call(LocalBlobs(there))
    LocalBlobs(there).delete("damaged/a")
    LocalBlobs(there).delete("results/b")
    LocalBlobs(there).replace("results/a", b"there")
    patient, clock = _patient(there, [Unreachable("full")] * 3)
    assert call(patient) == expected
    assert len(clock.slept) == 3


def test_waits_double_with_jitter_up_to_the_longest(there):
    patient, clock = _patient(there, [Unreachable("gone")] * 12)
    patient.get("results/a")
    nominal = [min(FIRST_WAIT_S * 2**k, LONGEST_WAIT_S) for k in range(12)]
    for slept, wait_s in zip(clock.slept, nominal, strict=True):
        assert 0.75 * wait_s <= slept <= 1.25 * wait_s
    assert len(set(clock.slept[-4:])) == 4  # those that failed together don't come back together


def test_after_its_patience_the_last_failure_is_raised(there):
    patient, clock = _patient(there, [Unreachable(f"failure {k}") for k in range(1000)], patience_s=100.0)
    with pytest.raises(Unreachable, match="failure ") as given_up:
        patient.replace("results/b", b"x")
    assert clock.now - 50.0 == pytest.approx(100.0)
    assert str(given_up.value) == f"failure {len(clock.slept)}"


def test_patience_counts_anew_for_each_call(there):
    patient, clock = _patient(there, [Unreachable("gone")] * 1000, patience_s=10.0)
    for _ in range(2):
        begun = clock.now
        with pytest.raises(Unreachable):
            patient.get("results/a")
        assert clock.now - begun == pytest.approx(10.0)


@pytest.mark.parametrize("before", [0, 2])
def test_a_store_that_was_replaced_is_not_tried_again(there, before):
    patient, clock = _patient(there, [*[Unreachable("gone")] * before, StoreReplaced("another store")])
    with pytest.raises(StoreReplaced, match="another store"):
        patient.replace("results/b", b"x")
    assert len(clock.slept) == before
    assert not patient.waits


@pytest.mark.parametrize("answer", [FileNotFoundError("results/a"), ValueError("not a key")])
def test_what_is_an_answer_or_a_bug_is_not_tried_again(there, answer):
    patient, clock = _patient(there, [answer])
    with pytest.raises(type(answer)):
        patient.get("results/a")
    assert clock.slept == []


def test_it_waits_exactly_while_a_call_is_tried_again(there):
    patient, clock = _patient(there, [Unreachable("gone")] * 2)
    store, seen = Store(patient), []

    def sleep(seconds):
        seen.append(store.waits)
        clock.sleep(seconds)

    patient.sleep = sleep
    assert not store.waits
    store.blobs.get("results/a")
    assert seen == [True, True]
    assert not store.waits
    assert not Store(LocalBlobs(there)).waits
