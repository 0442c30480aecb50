"""Checkpoints of stages, wherever blobs lie: whole, the last one saved, gone once dropped (I5, I6)."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.errors import Unreachable
from orchestrator.store import open_store
from orchestrator.store.blobs import Blobs
from orchestrator.store.checkpoints import Checkpoints

STAGE, OTHER = "5a" * 32, "0b" * 32
WRITE_ON = """
import hashlib, os, sys
from orchestrator.store import open_store
checkpoints = open_store(sys.argv[1], create=True).checkpoints
print("ready", flush=True)
while True:
    body = os.urandom(300_000)
    checkpoints.save(sys.argv[2], hashlib.sha256(body).digest() + body)
"""


@pytest.fixture
def checkpoints(blobs: Blobs) -> Checkpoints:
    return Checkpoints(blobs)


def test_the_last_checkpoint_of_a_stage_is_the_one_that_comes_back(checkpoints):
    for data in (b"step 100", b"step 200, which is longer", b"step 3"):
        checkpoints.save(STAGE, data)
        assert checkpoints.load(STAGE) == data
    checkpoints.save(OTHER, b"")
    assert checkpoints.load(OTHER) == b""
    assert checkpoints.load(STAGE) == b"step 3"
    assert checkpoints.names() == {STAGE, OTHER}


def test_a_stage_without_a_checkpoint_has_none(checkpoints):
    assert checkpoints.load(STAGE) is None
    assert checkpoints.names() == set()


def test_a_dropped_checkpoint_is_gone_and_dropping_it_again_is_no_error(checkpoints):
    checkpoints.save(STAGE, b"a")
    checkpoints.save(OTHER, b"b")
    checkpoints.drop(STAGE)
    checkpoints.drop(STAGE)
    assert checkpoints.load(STAGE) is None
    assert checkpoints.names() == {OTHER}
    checkpoints.save(STAGE, b"c")
    assert checkpoints.load(STAGE) == b"c"


def test_a_checkpoint_larger_than_one_upload_part_is_replaced_as_a_whole(checkpoints):
    checkpoints.save(STAGE, bytes(12_000_000))
    checkpoints.save(STAGE, b"\xff" * 7_000_000)
    assert checkpoints.load(STAGE) == b"\xff" * 7_000_000


def test_of_several_writers_of_one_stage_one_wins_and_readers_see_whole_checkpoints(checkpoints):
    written = [bytes([number]) * (6_000_000 if number % 2 else 1000) for number in range(6)]
    checkpoints.save(STAGE, written[0])
    with ThreadPoolExecutor(8) as threads:
        saves = [threads.submit(checkpoints.save, STAGE, data) for data in written]
        loads = [threads.submit(checkpoints.load, STAGE) for _ in range(6)]
    assert [save.result() for save in saves] == [None] * 6
    assert all(load.result() in written for load in loads)
    assert checkpoints.load(STAGE) in written
    checkpoints.save(STAGE, b"last")
    assert checkpoints.load(STAGE) == b"last"


def test_what_other_tools_leave_among_the_checkpoints_is_no_checkpoint(checkpoints):
    checkpoints.save(STAGE, b"a")
    for key in ("checkpoints/notes.txt", f"checkpoints/{OTHER}/state", f"results/{OTHER}"):
        checkpoints.blobs.replace(key, b"x")
    assert checkpoints.names() == {STAGE}


@pytest.mark.parametrize("name", ["", "../results/a", "a/b", ".a", "trunk", "5A", "5a\n"])
def test_a_name_that_is_no_stage_id_reaches_no_blob(checkpoints, name):
    for use in (lambda: checkpoints.save(name, b"x"), lambda: checkpoints.load(name), lambda: checkpoints.drop(name)):
        with pytest.raises(ValueError, match="not a stage id"):
            use()
    assert checkpoints.blobs.children() == set()


def test_a_store_holds_checkpoints_that_the_next_process_finds(store):
    store.checkpoints.save(STAGE, b"state")
    again = open_store(store.uri)
    assert again.checkpoints.load(STAGE) == b"state"
    assert again.results().num_rows == 0
    assert again.done() == {}


def test_a_checkpoint_that_cant_be_written_leaves_the_earlier_one(store, monkeypatch):
    store.checkpoints.save(STAGE, b"earlier")

    def full(self, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(Unreachable, match="No space left on device"):
            store.checkpoints.save(STAGE, b"later")
    assert store.checkpoints.load(STAGE) == b"earlier"
    assert [path.name for path in (store.blobs.root / "checkpoints").iterdir()] == [STAGE]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_writer_killed_at_any_time_leaves_one_whole_checkpoint(where, request, tmp_path, process):
    uri = str(tmp_path / "store") if where == "local" else request.getfixturevalue("s3_uri")
    checkpoints = open_store(uri, create=True).checkpoints
    for kill in range(4):
        writers = [process(WRITE_ON, uri, STAGE) for _ in range(2)]
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        time.sleep(0.1 + 0.07 * kill)
        for writer in writers:
            writer.kill()
            writer.wait()
        data = checkpoints.load(STAGE)
        assert data is None or hashlib.sha256(data[32:]).digest() == data[:32]
    assert checkpoints.names() == {STAGE}
