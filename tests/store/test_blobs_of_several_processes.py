"""Races and kills between processes, where blobs lie outside the process."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from orchestrator.store.location import open_blobs

CLAIM = """
import sys
from orchestrator.store.location import open_blobs
blobs = open_blobs(sys.argv[1], create=True)
print("ready", flush=True)
sys.stdin.readline()
for k in range(20):
    if blobs.put_new(f"results/{k}", sys.argv[2].encode()):
        print(k)
"""
WRITE_ON = """
import hashlib, os, sys
from orchestrator.store.location import open_blobs
blobs = open_blobs(sys.argv[1], create=True)
print("ready", flush=True)
while True:
    body = os.urandom(100_000)
    blobs.put_new(f"results/{os.urandom(8).hex()}", hashlib.sha256(body).digest() + body)
"""

Where = pytest.mark.parametrize("where", ["local", "s3"])


def _uri(where: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if where == "local" else request.getfixturevalue("s3_uri")


@pytest.mark.slow
@Where
def test_of_four_processes_one_wins_each_key(where, request, tmp_path, process):
    uri = _uri(where, request, tmp_path)
    writers = [process(CLAIM, uri, f"writer {k}") for k in range(4)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    won = {f"writer {k}": writer.communicate(timeout=60)[0].split() for k, writer in enumerate(writers)}
    assert sorted(int(key) for keys in won.values() for key in keys) == list(range(20))
    blobs = open_blobs(uri, create=False)
    for name, keys in won.items():
        assert {blobs.get(f"results/{key}") for key in keys} <= {name.encode()}


@pytest.mark.slow
@Where
def test_a_killed_writer_leaves_whole_blobs_only_and_no_dot_files_in_sight(where, request, tmp_path, process):
    uri = _uri(where, request, tmp_path)
    for k in range(3):
        writer = process(WRITE_ON, uri)
        writer.stdout.readline()
        time.sleep(0.2 + 0.07 * k)
        writer.kill()
        writer.wait()
    blobs = open_blobs(uri, create=False)
    keys = blobs.list("results")
    assert keys
    for key in keys:
        assert not key.rpartition("/")[2].startswith(".")
        data = blobs.get(key)
        assert hashlib.sha256(data[32:]).digest() == data[:32]


def test_what_a_killed_writer_left_is_not_listed(tmp_path):
    blobs = open_blobs(str(tmp_path / "store"), create=True)
    blobs.put_new("results/a", b"x")
    (tmp_path / "store/results/.tmp-half").write_bytes(b"half")
    (tmp_path / "store/.DS_Store").write_bytes(b"")
    assert blobs.list("results") == ["results/a"]
    assert blobs.children() == {"results"}
