"""Checkpoints of stages, wherever blobs lie: whole, begun or done, the furthest one, gone once dropped (I5, I6)."""

from __future__ import annotations

import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.errors import Unreachable
from orchestrator.store import open_store
from orchestrator.store.blobs import Blobs
from orchestrator.store.checkpoints import Checkpoints, DamagedCheckpoint, Progress

BEGUN, DONE = Progress.BEGUN, Progress.DONE
STAGE, OTHER = "5a" * 32, "0b" * 32
WRITE_ON = """
import hashlib, os, sys
from orchestrator.store import open_store
from orchestrator.store.checkpoints import Progress
checkpoints = open_store(sys.argv[1], create=True).checkpoints
print("ready", flush=True)
step = 0
while True:
    step += 1
    body = step.to_bytes(8) + os.urandom(1_200_000)
    checkpoints.save(sys.argv[2], Progress.BEGUN, step, hashlib.sha256(body).digest() + body)
    print(step, flush=True)
"""


@pytest.fixture
def checkpoints(blobs: Blobs) -> Checkpoints:
    return Checkpoints(blobs)


def test_the_furthest_checkpoint_comes_back_with_how_the_stage_was_left(checkpoints):
    for step, data in ((100, b"step 100"), (200, b"step 200, which is longer"), (1000, b"step 1000")):
        checkpoints.save(STAGE, BEGUN, step, data)
        assert checkpoints.load(STAGE) == (BEGUN, data)
        assert checkpoints.reached(STAGE) == (False, step)
    checkpoints.save(STAGE, DONE, 1000, b"end")
    assert checkpoints.load(STAGE) == (DONE, b"end")
    assert checkpoints.reached(STAGE) == (True, 1000)
    assert checkpoints.kept() == {STAGE: DONE}


def test_what_is_done_counts_before_what_a_slower_worker_has_begun(checkpoints):
    checkpoints.save(STAGE, DONE, 0, b"end of a stage without steps")
    checkpoints.save(STAGE, BEGUN, 7, b"of a worker that was taken for dead")
    assert checkpoints.load(STAGE) == (DONE, b"end of a stage without steps")
    assert checkpoints.kept() == {STAGE: DONE}


@pytest.mark.parametrize("order", [(b"a", b"b"), (b"b", b"a")])
def test_of_two_workers_that_came_equally_far_one_checkpoint_stays_and_neither_deletes_the_others(checkpoints, order):
    for data in order:
        checkpoints.save(STAGE, BEGUN, 5, data)
        assert checkpoints.load(STAGE)[1] in order
    assert checkpoints.reached(STAGE) == (False, 5)
    checkpoints.save(STAGE, BEGUN, 6, b"c")
    assert checkpoints.load(STAGE) == (BEGUN, b"c")
    assert len(checkpoints.keys()) == 1


def test_a_flipped_bit_is_noticed(checkpoints):
    data = bytearray(random.Random(0).randbytes(2_000_000))
    checkpoints.save(STAGE, DONE, 5, bytes(data))
    (key,) = checkpoints.keys()
    data[1_234_567] ^= 4
    checkpoints.blobs.replace(key, bytes(data))
    with pytest.raises(DamagedCheckpoint, match="its checksum differs"):
        checkpoints.load(STAGE)
    assert checkpoints.reached(STAGE) == (True, 5)


def test_a_checkpoint_of_an_older_scalaw_is_read_without_a_checksum(checkpoints):
    checkpoints.blobs.replace(f"checkpoints/{STAGE}/begun-000000000007", b"older")
    assert checkpoints.load(STAGE) == (BEGUN, b"older")
    checkpoints.save(STAGE, BEGUN, 8, b"newer")
    assert checkpoints.load(STAGE) == (BEGUN, b"newer")
    assert len(checkpoints.keys()) == 1


def test_a_checkpoint_that_links_to_nothing_is_damaged(store):
    store.checkpoints.save(STAGE, BEGUN, 1, b"a")
    (path,) = (store.blobs.root / "checkpoints" / STAGE).iterdir()
    path.unlink()
    path.symlink_to("/nowhere")
    with pytest.raises(DamagedCheckpoint, match="links to nothing"):
        store.checkpoints.load(STAGE)
    store.checkpoints.drop(STAGE)
    assert store.checkpoints.load(STAGE) is None


def test_checkpoints_that_were_gone_beyond_are_taken_away(checkpoints):
    for step in range(1, 5):
        checkpoints.save(STAGE, BEGUN, step, b"x")
    checkpoints.save(OTHER, BEGUN, 1, b"y")
    assert len(checkpoints.blobs.list(f"checkpoints/{STAGE}")) == 1
    checkpoints.save(STAGE, DONE, 4, b"z")
    assert len(checkpoints.blobs.list(f"checkpoints/{STAGE}")) == 1
    assert checkpoints.load(OTHER) == (BEGUN, b"y")


def test_a_stage_without_a_checkpoint_has_none(checkpoints):
    assert checkpoints.load(STAGE) is None
    assert checkpoints.reached(STAGE) is None
    assert checkpoints.kept() == {}


def test_a_dropped_checkpoint_is_gone_and_dropping_it_again_is_no_error(checkpoints):
    checkpoints.save(STAGE, DONE, 9, b"a")
    checkpoints.save(OTHER, BEGUN, 2, b"b")
    checkpoints.drop(STAGE)
    checkpoints.drop(STAGE)
    assert checkpoints.load(STAGE) is None
    assert checkpoints.kept() == {OTHER: BEGUN}
    checkpoints.save(STAGE, BEGUN, 1, b"c")
    assert checkpoints.load(STAGE) == (BEGUN, b"c")


def test_the_folder_of_a_stage_goes_with_its_last_checkpoint(store):
    store.checkpoints.save(STAGE, BEGUN, 1, b"a")
    store.checkpoints.save(STAGE, DONE, 2, b"b")
    store.checkpoints.save(OTHER, DONE, 2, b"b")
    store.checkpoints.drop(STAGE)
    assert [path.name for path in (store.blobs.root / "checkpoints").iterdir()] == [OTHER]


def test_a_checkpoint_larger_than_one_upload_part_is_followed_by_another(checkpoints):
    checkpoints.save(STAGE, BEGUN, 1, bytes(12_000_000))
    checkpoints.save(STAGE, BEGUN, 2, b"\xff" * 7_000_000)
    assert checkpoints.load(STAGE) == (BEGUN, b"\xff" * 7_000_000)


def test_of_several_writers_of_one_stage_one_wins_and_readers_see_whole_checkpoints(checkpoints):
    written = {step: bytes([step]) * (6_000_000 if step % 2 else 1000) for step in range(6)}
    checkpoints.save(STAGE, BEGUN, 0, written[0])
    with ThreadPoolExecutor(8) as threads:
        saves = [threads.submit(checkpoints.save, STAGE, BEGUN, step, data) for step, data in written.items()]
        loads = [threads.submit(checkpoints.load, STAGE) for _ in range(6)]
    assert [save.result() for save in saves] == [None] * 6
    for load in loads:
        progress, data = load.result()
        assert progress is BEGUN
        assert data in written.values()
    assert checkpoints.load(STAGE) == (BEGUN, written[5])


def test_a_reader_that_is_overtaken_between_listing_and_reading_gets_the_later_one(checkpoints, monkeypatch):
    checkpoints.save(STAGE, BEGUN, 1, b"first")
    read, later = checkpoints.blobs.get, iter([2, 3])

    def overtaken(key):
        if step := next(later, None):
            checkpoints.save(STAGE, BEGUN, step, b"%d" % step)
        return read(key)

    monkeypatch.setattr(checkpoints.blobs, "get", overtaken)
    assert checkpoints.load(STAGE) == (BEGUN, b"3")


def test_what_others_leave_among_the_checkpoints_is_no_checkpoint(checkpoints):
    checkpoints.save(STAGE, BEGUN, 3, b"a")
    foreign = [
        "checkpoints/notes.txt",
        f"checkpoints/{OTHER}/state",
        f"checkpoints/{OTHER}/begun-x",
        f"results/{OTHER}",
    ]
    of_an_older_scalaw = f"checkpoints/{'0c' * 32}"
    for key in [*foreign, of_an_older_scalaw]:
        checkpoints.blobs.replace(key, b"x")
    assert checkpoints.kept() == {STAGE: BEGUN}
    assert checkpoints.load(OTHER) is None


@pytest.mark.parametrize("name", ["", "../results/a", "a/b", ".a", "trunk", "5A", "5a\n"])
def test_a_name_that_is_no_stage_id_reaches_no_blob(checkpoints, name):
    uses = (
        lambda: checkpoints.save(name, BEGUN, 1, b"x"),
        lambda: checkpoints.load(name),
        lambda: checkpoints.reached(name),
        lambda: checkpoints.drop(name),
    )
    for use in uses:
        with pytest.raises(ValueError, match="not a stage id"):
            use()
    assert checkpoints.blobs.children() == set()


def test_a_store_holds_checkpoints_that_the_next_process_finds(store):
    store.identity()
    store.checkpoints.save(STAGE, DONE, 8, b"state")
    again = open_store(store.uri)
    assert again.checkpoints.load(STAGE) == (DONE, b"state")
    assert again.results().num_rows == 0
    assert again.done() == {}


def test_a_checkpoint_that_cant_be_written_leaves_the_earlier_one(store, monkeypatch):
    store.checkpoints.save(STAGE, BEGUN, 1, b"earlier")

    def full(self, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(Unreachable, match="No space left on device"):
            store.checkpoints.save(STAGE, BEGUN, 2, b"later")
    assert store.checkpoints.load(STAGE) == (BEGUN, b"earlier")
    assert [path.name for path in (store.blobs.root / "checkpoints" / STAGE).iterdir()] == [
        f"begun-000000000001-{hashlib.sha256(b'earlier').hexdigest()}"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_writer_killed_at_any_time_leaves_the_furthest_checkpoint_that_it_told_of(where, request, tmp_path, process):
    uri = str(tmp_path / "store") if where == "local" else request.getfixturevalue("s3_uri")
    for kill in range(4):
        writers = [process(WRITE_ON, uri, STAGE) for _ in range(2)]
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        time.sleep(0.1 + 0.07 * kill)
        for writer in writers:
            writer.kill()
        told = [int(line) for writer in writers for line in writer.communicate()[0].split()]
        checkpoints = open_store(uri, create=True).checkpoints
        found = checkpoints.load(STAGE)
        assert found is not None or not told
        if found is not None:
            progress, data = found
            assert progress is BEGUN
            assert hashlib.sha256(data[32:]).digest() == data[:32]
            assert int.from_bytes(data[32:40]) >= max(told, default=1)
            assert checkpoints.reached(STAGE) == (False, int.from_bytes(data[32:40]))
    assert checkpoints.kept() == {STAGE: BEGUN}
