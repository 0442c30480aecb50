"""Whatever is killed when, each row stays visible exactly once."""

from __future__ import annotations

import random
import threading
import time

import pytest

from orchestrator.errors import Unreachable
from orchestrator.store import open_store
from orchestrator.store.compaction import compact
from orchestrator.store.local_blobs import LocalBlobs
from orchestrator.store.results import Results
from orchestrator.store.store import Store

COMPACT = """
import sys
from orchestrator.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
store.compact()
"""


class Killed(BaseException):
    """Stands where the process ends."""


class DyingBlobs(LocalBlobs):
    """A folder whose process dies at its ``life``-th write or deletion, before or after it is done."""

    def __init__(self, root, life, *, after):
        super().__init__(root)
        self.life, self.after, self.lock = life, after, threading.Lock()

    def _live(self, act, *arguments):
        with self.lock:
            self.life -= 1
            if self.life < 0 or (self.life == 0 and not self.after):
                raise Killed
            answer = act(*arguments)
            if self.life == 0:
                raise Killed
            return answer

    def put_new(self, key, data):
        return self._live(super().put_new, key, data)

    def delete(self, key):
        return self._live(super().delete, key)


class CompactedMeanwhile(LocalBlobs):
    """A folder that somebody compacts just before its reader's ``call``-th listing or read."""

    def __init__(self, root, call):
        super().__init__(root)
        self.call, self.lock = call, threading.Lock()

    def _tick(self):
        with self.lock:
            self.call -= 1
            if self.call == 0:
                compact(Results(LocalBlobs(self.root)))

    def list(self, folder):
        self._tick()
        return super().list(folder)

    def get(self, key):
        self._tick()
        return super().get(key)


class LyingBlobs(LocalBlobs):
    """A folder on a disk that loses what is written."""

    def put_new(self, key, data):
        return super().put_new(key, data[:-1])


@pytest.fixture
def filled(store, row):
    """A store of four rows and a failure."""
    for number in range(4):
        store.commit_row(row(number))
    store.commit_row(row(4, status="failed"))
    return store


def test_compaction_leaves_one_part_and_the_same_rows(filled, row):
    before, done = filled.results(), filled.done()
    assert filled.compact() == 4
    names = filled.blobs.list("results")
    assert len(names) == 2
    assert f"results/{4:064x}.failed.parquet" in names
    for store in (filled, open_store(filled.uri)):
        assert store.results().equals(before)
        assert store.done() == done
    assert filled.compact() == 0
    assert filled.blobs.list("results") == names


def test_rows_committed_after_a_compaction_join_and_compact_in_turn(filled, row):
    filled.compact()
    filled.commit_row(row(4))
    filled.commit_row(row(5))
    assert filled.results()["val_loss"].to_pylist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert filled.compact() == 2
    assert open_store(filled.uri).results()["val_loss"].to_pylist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_too_few_parts_are_left_alone(filled):
    names = filled.blobs.list("results")
    assert filled.compact(at_least=5) == 0
    assert filled.blobs.list("results") == names


def test_a_row_that_was_compacted_stays_whoever_commits_its_cell_again(filled, row):
    filled.compact()
    filled.commit_row(row(1, val_loss=99.0))
    assert open_store(filled.uri).results()["val_loss"].to_pylist() == [1.0, 2.0, 3.0, 4.0, None]
    filled.compact()
    assert open_store(filled.uri).results()["val_loss"].to_pylist() == [1.0, 2.0, 3.0, 4.0, None]


def test_nan_and_null_survive(store, row):
    for number, loss in enumerate([float("nan"), None, float("inf")]):
        store.commit_row(row(number, val_loss=loss))
    store.compact()
    losses = open_store(store.uri).results()["val_loss"].to_pylist()
    assert losses[0] != losses[0]
    assert losses[1:] == [None, float("inf")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("life", range(1, 6))
def test_killed_at_any_write_or_deletion_no_row_is_lost_or_doubled(filled, life, after):
    before, done = filled.results(), filled.done()
    with pytest.raises(Killed):
        compact(Results(DyingBlobs(filled.blobs.root, life, after=after)))
    assert open_store(filled.uri).results().equals(before)
    assert open_store(filled.uri).done() == done
    filled.compact()
    assert len(filled.blobs.list("results")) == 2
    assert open_store(filled.uri).results().equals(before)


@pytest.mark.parametrize("call", range(1, 8))
def test_a_reader_loses_nothing_to_a_compaction_at_any_point_of_its_reading(filled, call):
    before, done = filled.results(), filled.done()
    assert Store(CompactedMeanwhile(filled.blobs.root, call)).results().equals(before)
    assert Store(CompactedMeanwhile(filled.blobs.root, call)).done() == done


def test_nothing_is_deleted_before_the_copy_reads_back(filled):
    before = filled.results()
    with pytest.raises(Unreachable, match="nothing was deleted"):
        compact(Results(LyingBlobs(filled.blobs.root)))
    assert open_store(filled.uri).results().equals(before)


def test_two_compactions_at_once_keep_every_row_once(filled):
    before = filled.results()
    threads = [threading.Thread(target=compact, args=(Results(filled.blobs),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert open_store(filled.uri).results().equals(before)


@pytest.mark.slow
def test_compactions_killed_at_random_instants_keep_every_row_once(store, row, process):
    pick, rows = random.Random(0), 0
    for _ in range(6):
        for _ in range(30):
            store.commit_row(row(rows))
            rows += 1
        compaction = process(COMPACT, store.uri)
        compaction.stdout.readline()
        compaction.stdin.write("go\n")
        compaction.stdin.flush()
        end = time.monotonic() + pick.uniform(0.0, 0.25)
        while True:
            assert store.results()["val_loss"].to_pylist() == [1.0 + k for k in range(rows)]
            if time.monotonic() > end:
                break
        compaction.kill()
        compaction.wait()
        assert open_store(store.uri).results()["val_loss"].to_pylist() == [1.0 + k for k in range(rows)]
        assert len(open_store(store.uri).done()) == rows
    store.compact()
    assert all(key.startswith("results/compacted-") for key in store.blobs.list("results"))
    assert store.results().num_rows == rows
    assert store.damaged == []
