"""Data in a bucket: read as from a folder, and fetched once by all the workers of a node."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from orchestrator.errors import BadInput, Unreachable
from orchestrator.spec.registries import SOURCES
from orchestrator.store.object_blobs import ObjectBlobs
from workers.sources import staging
from workers.sources.staging import on_this_node

REPOSITORY = Path(__file__).parents[3]
TEXTS = {"a.txt": b"one two three " * 9000, "b/c.md": b"four five six " * 9000, "b/.hidden": b"x"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(staging.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket(s3_uri, cache):
    """Texts below a prefix, and the same in a folder."""
    store = from_url(s3_uri, client_options={"allow_http": True})
    for name, content in TEXTS.items():
        obstore.put(store, name, content)
    return s3_uri


@pytest.fixture
def folder(tmp_path):
    for name, content in TEXTS.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "folder"


@pytest.fixture
def downloads(monkeypatch):
    """Names of the objects that were fetched."""
    names, lock, download = [], threading.Lock(), ObjectBlobs.download

    def noting(blobs, key, path):
        with lock:
            names.append(key)
        download(blobs, key, path)

    monkeypatch.setattr(ObjectBlobs, "download", noting)
    return names


@pytest.mark.slow
def test_text_in_a_bucket_is_the_text_of_the_same_folder(bucket, folder):
    text = SOURCES.load("text")()
    there, here = (text.manifest({"paths": [str(place)]}, context=32) for place in (bucket, folder))
    assert there == here
    one, file = (text.manifest({"paths": [f"{place}/b/c.md"]}, context=32) for place in (bucket, folder))
    assert one == file != here


@pytest.mark.slow
def test_workers_of_a_node_fetch_each_object_once(bucket, downloads):
    with ThreadPoolExecutor(8) as workers:
        places = set(workers.map(lambda _: on_this_node(bucket, key="paths"), range(8)))
    (place,) = places
    assert sorted(downloads) == sorted(TEXTS)
    assert {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()} == TEXTS


@pytest.mark.slow
def test_a_changed_object_is_fetched_anew_and_the_old_copy_is_left_to_its_readers(bucket):
    before = on_this_node(bucket, key="paths")
    obstore.put(from_url(bucket, client_options={"allow_http": True}), "a.txt", b"changed " * 9)
    after = on_this_node(bucket, key="paths")
    assert (before / "a.txt").read_bytes() == TEXTS["a.txt"]
    assert (after / "a.txt").read_bytes() == b"changed " * 9


@pytest.mark.slow
def test_a_killed_fetch_leaves_nothing_that_is_taken_for_a_copy(bucket, cache):
    program = (
        "import sys, os\n"
        "from orchestrator.store.object_blobs import ObjectBlobs\n"
        "from workers.sources.staging import on_this_node\n"
        "def half(blobs, key, path):\n"
        "    path.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), 9)\n"
        "ObjectBlobs.download = half\n"
        "on_this_node(sys.argv[1], key='paths')\n"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run([sys.executable, "-c", program, bucket], env=env, check=False).returncode == -9
    assert [path.name[:6] for path in cache.iterdir() if path.is_dir()] == [".half-"]
    assert (on_this_node(bucket, key="paths") / "a.txt").read_bytes() == TEXTS["a.txt"]


@pytest.mark.slow
def test_what_is_not_there_or_has_no_room_is_said(bucket, monkeypatch):
    with pytest.raises(BadInput, match=r"data.paths: s3://bucket/nowhere holds nothing: check bucket and prefix"):
        on_this_node("s3://bucket/nowhere", key="paths")
    with pytest.raises(
        Unreachable, match=r"data.paths: s3://no-bucket/x can't be read: can't list the root in s3://no-bucket/x"
    ):
        on_this_node("s3://no-bucket/x", key="paths")
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(BadInput, match=r"takes 252,001 bytes and .* has 1,000 left: set SCALAW_DATA_CACHE"):
        on_this_node(bucket, key="paths")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://key:secret@bucket/x", "carries credentials"),
        ("ftp://host/x", "unknown kind of store"),
        ("file:///tmp", "write a path without file://"),
        ("s3://", "BUCKET/PREFIX"),
    ],
)
def test_wrong_addresses_are_refused_with_the_option_that_holds_them(address, said):
    with pytest.raises(BadInput, match=said) as refusal:
        on_this_node(address, key="paths")
    assert str(refusal.value).startswith("data.paths: ")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_an_object_can_not_lead_out_of_its_copy(tmp_path, name):
    with pytest.raises(BadInput, match="leads out of its folder"):
        staging._inside(tmp_path, name)
