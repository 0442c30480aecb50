"""The suite that every kind of store passes, sound and under faults; and kinds that don't, which it tells."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from orchestrator.errors import Unreachable
from orchestrator.store.conformance import BLOB_PROMISES, STORE_PROMISES, broken_promises
from orchestrator.store.conformance.faults import FaultyBlobs
from orchestrator.store.local_blobs import LocalBlobs
from orchestrator.store.location import open_blobs
from orchestrator.store.object_blobs import ObjectBlobs
from orchestrator.store.patience import PatientBlobs

KINDS = ["local", "memory", "obstore-local", pytest.param("s3", marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS)
def open_root(request, tmp_path):
    """Open a handle on the root of a name, of every kind."""
    buckets = {}
    if request.param == "s3":
        prefix = request.getfixturevalue("s3_uri")
        return lambda name: open_blobs(f"{prefix}/{name}", create=True)
    if request.param == "local":
        return lambda name: LocalBlobs(tmp_path / name)
    if request.param == "memory":
        return lambda name: ObjectBlobs(buckets.setdefault(name, MemoryStore()), name)
    return lambda name: ObjectBlobs(LocalStore(tmp_path / name, mkdir=True), name)


@pytest.mark.parametrize("promise", BLOB_PROMISES.values(), ids=BLOB_PROMISES)
def test_blobs_of_every_kind(open_root, promise):
    assert list(promise(open_root("root"))) == []


@pytest.mark.parametrize("promise", STORE_PROMISES.values(), ids=STORE_PROMISES)
def test_stores_of_every_kind(open_root, promise):
    assert list(promise(lambda: open_root("root"))) == []


class UnderFaults:
    """Opens patient handles on faulty roots, each handle with faults of its own."""

    def __init__(self, open_root, seed):
        self.open_root, self.seed, self.met, self.handles = open_root, seed, Counter(), []

    def __call__(self, name="root"):
        faulty = FaultyBlobs(self.open_root(name), seed=self.seed + len(self.handles), share=0.15)
        self.handles.append(faulty)
        return PatientBlobs(faulty, 60.0, sleep=lambda seconds: None)

    def happened(self):
        return sum((handle.met for handle in self.handles), Counter())


@pytest.mark.parametrize("seed", [0, 1000, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("promise", STORE_PROMISES.values(), ids=STORE_PROMISES)
def test_stores_whose_calls_fail_time_out_are_slow_and_list_torn_pages(tmp_path, promise, seed):
    under_faults = UnderFaults(lambda name: LocalBlobs(tmp_path / name), seed)
    assert list(promise(under_faults)) == []
    assert under_faults.happened().total() > 0


@pytest.mark.slow
def test_a_store_on_s3_whose_calls_fail(s3_uri):
    under_faults = UnderFaults(lambda name: open_blobs(f"{s3_uri}/{name}", create=True), 0)
    assert broken_promises(under_faults) == []
    assert all(under_faults.happened()[what] > 5 for what in ("503", "time-out", "slow", "torn"))


def test_every_fault_happens_by_its_share(tmp_path):
    blobs = FaultyBlobs(LocalBlobs(tmp_path), share=0.25, slow_s=0.0)
    outcomes = Counter()
    for number in range(200):
        try:
            blobs.put_new(f"results/{number}", b"x")
            outcomes["written"] += 1
        except Unreachable as failure:
            outcomes[str(failure).rpartition(": ")[2]] += 1
        try:
            blobs.list("results")
        except Unreachable:
            outcomes["not listed"] += 1
    there = len(LocalBlobs(tmp_path).list("results"))
    assert there == outcomes["written"] + outcomes["timed out"]
    assert all(outcomes[what] > 25 for what in ("503 slow down", "timed out", "not listed"))
    assert all(blobs.met[what] > 25 for what in ("503", "time-out", "slow", "torn"))


class OverwritingBlobs(LocalBlobs):
    def put_new(self, key, data):
        new = not self.exists(key)
        self.replace(key, data)
        return new


class ForgetfulListing(LocalBlobs):
    """Lists what was there at the listing before, as eventually consistent stores did."""

    last: tuple[str, ...] = ()

    def list(self, folder):
        found, self.last = list(self.last), tuple(super().list(folder))
        return [key for key in found if key.startswith(f"{folder}/")]


class ShallowListing(LocalBlobs):
    def list(self, folder):
        return [key for key in super().list(folder) if key.count("/") == 1]


class PrefixListing(LocalBlobs):
    def list(self, folder):
        siblings = [name for name in self.children() if name.startswith(folder)]
        return sorted(key for name in siblings for key in super(PrefixListing, self).list(name))


class CopyingMove(LocalBlobs):
    def move(self, source, target):
        self.replace(target, self.get(source))


class EmptyForMissing(LocalBlobs):
    def get(self, key):
        return super().get(key) if self.exists(key) else b""


class WritingInPlace(LocalBlobs):
    def replace(self, key, data):
        path = Path(self.root / key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for at in range(0, len(data) or 1, 10_000):
                file.write(data[at : at + 10_000])
                file.flush()
                time.sleep(0.002)


class TakingAnyStore(LocalBlobs):
    def insist_on(self, store_id):
        pass


class KeepingOld(LocalBlobs):
    def replace(self, key, data):
        self.put_new(key, data)


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (OverwritingBlobs, "put_new keeps the first bytes"),
        (KeepingOld, "replace writes over and makes"),
        (ForgetfulListing, "a listing has all that was written before it began"),
        (ShallowListing, "a listing is sorted, deep and of its folder alone"),
        (PrefixListing, "a listing is sorted, deep and of its folder alone"),
        (CopyingMove, "move overwrites its target and leaves no source"),
        (EmptyForMissing, "a missing key is FileNotFoundError"),
        (WritingInPlace, "a reader sees a whole blob"),
        (TakingAnyStore, "another store is refused"),
    ],
)
def test_a_kind_that_breaks_a_promise_is_told(tmp_path, kind, promise):
    told = list(BLOB_PROMISES[promise](kind(tmp_path / uuid.uuid4().hex)))
    assert told
