"""A store is known for the same one as before, and nothing is written where another, or none, has taken its place."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.errors import BadInput, StoreReplaced
from orchestrator.store import open_store
from orchestrator.store.documents import DamagedDocument, encode_document
from orchestrator.store.identity import KEY, LAYOUT, identity_of, make_identity, read_identity
from orchestrator.store.local_blobs import LocalBlobs

NAME_IT = """
import sys
from orchestrator.store import open_store
store = open_store(sys.argv[1], create=True)
print("ready", flush=True)
sys.stdin.readline()
print(store.identity())
"""
CHANGES = {
    "move": lambda blobs: blobs.move("results/a", "damaged/a"),
    "delete": lambda blobs: blobs.delete("results/a"),
}
WRITES = {
    "put_new": lambda blobs: blobs.put_new("results/new", b"x"),
    "put_new in a new folder": lambda blobs: blobs.put_new("fits/new", b"x"),
    "replace": lambda blobs: blobs.replace("results/a", b"x"),
    "replace in a new folder": lambda blobs: blobs.replace("checkpoints/5a/begun-1", b"x"),
}


def _everything(root):
    return {path.relative_to(root): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "disk"


@pytest.fixture
def insisting(home):
    """Blobs of a store of one part, which insist on it."""
    blobs = LocalBlobs(home)
    blobs.insist_on_later = make_identity(blobs)
    blobs.put_new("results/a", b"a")
    blobs.insist_on(blobs.insist_on_later)
    return blobs


def _remove(home):
    shutil.rmtree(home)


def _replace(home):
    shutil.rmtree(home)
    make_identity(LocalBlobs(home))


def _unmount(home):
    """Leave an empty folder where a disk was mounted."""
    home.rename(home.with_name("taken away"))
    home.mkdir()


def _lose_name(home):
    (home / KEY).unlink()


def _damage_name(home):
    (home / KEY).write_bytes(b"\0" * 40)


LOSSES = [_remove, _replace, _unmount, _lose_name, _damage_name]


def test_a_store_is_named_once(blobs):
    assert identity_of(blobs) is None
    name = make_identity(blobs)
    assert make_identity(blobs) == name
    assert identity_of(blobs) == name
    assert json.loads(blobs.get(KEY))["layout"] == LAYOUT


def test_of_several_threads_one_names_it(blobs):
    with ThreadPoolExecutor(8) as threads:
        names = {name.result() for name in [threads.submit(make_identity, blobs) for _ in range(8)]}
    assert names == {identity_of(blobs)}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "s3"])
def test_of_several_processes_one_names_it(where, request, tmp_path, process):
    uri = str(tmp_path / "store") if where == "local" else request.getfixturevalue("s3_uri")
    started = [process(NAME_IT, uri) for _ in range(4)]
    for each in started:
        assert each.stdout.readline() == "ready\n"
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    names = {each.communicate(timeout=60)[0].strip() for each in started}
    assert names == {open_store(uri).identity()}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        encode_document({"id": "a"}),
        encode_document({"id": 1, "layout": 1}),
        b'{"id": "a", "layout": 1}',
        b"[" * 10**5,
    ],
)
def test_a_damaged_name_is_named_in_one_line_and_made_anew_by_the_next_that_writes(tmp_path, data):
    blobs = LocalBlobs(tmp_path)
    blobs.replace(KEY, data)
    with pytest.raises(BadInput, match=r"store\.json is damaged \(it.*\): the next run makes it anew") as refusal:
        identity_of(blobs)
    assert "\n" not in str(refusal.value)
    assert blobs.get(KEY) == data
    with pytest.raises(StoreReplaced):
        blobs.insist_on("f" * 32)
    made = make_identity(LocalBlobs(tmp_path))
    assert identity_of(blobs) == made
    assert blobs.get(f"damaged/{KEY}") == data


def test_no_bit_of_a_name_flips_unseen(tmp_path):
    blobs = LocalBlobs(tmp_path)
    make_identity(blobs)
    data = blobs.get(KEY)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedDocument):
            read_identity(bytes(broken), "store")


def test_a_newer_layout_is_refused(tmp_path):
    blobs = LocalBlobs(tmp_path)
    blobs.replace(KEY, encode_document({"id": "a", "layout": LAYOUT + 1}))
    with pytest.raises(BadInput, match=f"newer scalaw .layout {LAYOUT + 1}.: upgrade"):
        identity_of(blobs)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_where_it_lies_as_before_it_is_written(insisting, write):
    before = _everything(insisting.root)
    write(insisting)
    assert _everything(insisting.root) != before


@pytest.mark.parametrize("write", [*WRITES.values(), *CHANGES.values()], ids=[*WRITES, *CHANGES])
@pytest.mark.parametrize("lose", LOSSES)
def test_nothing_is_written_or_made_anew_where_it_was(insisting, home, lose, write):
    lose(home)
    before = _everything(home)
    with pytest.raises(StoreReplaced) as refusal:
        write(insisting)
    assert _everything(home) == before
    assert home.exists() == (lose is not _remove)
    assert refusal.value.exit_code == 3
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("write", [WRITES["put_new"], WRITES["replace"]], ids=["put_new", "replace"])
@pytest.mark.parametrize("lose", LOSSES)
def test_nothing_becomes_visible_that_was_lost_between_temporary_file_and_rename(
    insisting, home, monkeypatch, lose, write
):
    def lost_meanwhile(descriptor):
        monkeypatch.undo()
        lose(home)

    monkeypatch.setattr("os.fsync", lost_meanwhile)
    with pytest.raises(StoreReplaced):
        write(insisting)
    there = {path for path in home.rglob("*") if path.is_file()} if home.exists() else set()
    assert there <= {home / KEY, home / "results/a"}
    assert not there or all(path.read_bytes() != b"x" for path in there)


@pytest.mark.parametrize("lose", LOSSES)
def test_insisting_on_what_is_not_there_is_refused_at_once(home, insisting, lose):
    lose(home)
    with pytest.raises(StoreReplaced):
        LocalBlobs(home).insist_on(insisting.insist_on_later)


def test_a_store_that_is_put_back_is_written_again(insisting, home):
    _unmount(home)
    with pytest.raises(StoreReplaced):
        insisting.put_new("results/b", b"x")
    home.rmdir()
    home.with_name("taken away").rename(home)
    assert insisting.put_new("results/b", b"x") is True


def test_a_bucket_is_looked_at_when_it_is_insisted_on(s3_blobs):
    name = make_identity(s3_blobs)
    s3_blobs.insist_on(name)
    with pytest.raises(StoreReplaced, match="another store lies"):
        s3_blobs.insist_on("f" * 32)
    s3_blobs.delete(KEY)
    with pytest.raises(StoreReplaced, match="no store any more"):
        s3_blobs.insist_on(name)


def test_a_mark_that_tries_whether_others_see_the_folder_makes_no_store_of_it_and_hinders_none(tmp_path):
    new = open_store(str(tmp_path / "s"), create=True)
    key = new.leave_mark()
    assert open_store(str(tmp_path / "s"), create=True).sees_mark(key)
    with pytest.raises(BadInput, match="there is no store at"):
        open_store(str(tmp_path / "s"))
    new.take_mark(key)
    assert open_store(str(tmp_path / "s"), create=True).identity()
