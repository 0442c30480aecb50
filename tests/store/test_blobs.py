"""What every implementation of ``Blobs`` promises; the same suite for all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.store.blobs import Blobs


def test_put_new_keeps_the_first_bytes(blobs: Blobs) -> None:
    assert blobs.put_new("results/a", b"first") is True
    assert blobs.put_new("results/a", b"second") is False
    assert blobs.get("results/a") == b"first"


def test_of_eight_threads_one_wins_each_key_and_its_bytes_stay(blobs: Blobs) -> None:
    keys = [f"results/{k}" for k in range(6)]
    with ThreadPoolExecutor(8) as threads:
        claims = [[threads.submit(blobs.put_new, key, f"{key} by {w}".encode()) for w in range(8)] for key in keys]
    for key, attempts in zip(keys, claims, strict=True):
        winners = [writer for writer, attempt in enumerate(attempts) if attempt.result()]
        assert len(winners) == 1
        assert blobs.get(key) == f"{key} by {winners[0]}".encode()


def test_replace_writes_over_and_makes(blobs: Blobs) -> None:
    blobs.replace("sweeps/a.json", b"one")
    blobs.replace("sweeps/a.json", b"two")
    assert blobs.get("sweeps/a.json") == b"two"
    assert blobs.list("sweeps") == ["sweeps/a.json"]


def test_a_listing_is_sorted_deep_and_keeps_to_its_folder(blobs: Blobs) -> None:
    for key in ("results/b", "results/a", "results/deep/er/c", "results2/d", "fits/e"):
        blobs.put_new(key, b"x")
    assert blobs.list("results") == ["results/a", "results/b", "results/deep/er/c"]
    assert blobs.list("nothing") == []
    assert blobs.children() == {"results", "results2", "fits"}


def test_the_root_of_nothing_has_no_children(blobs: Blobs) -> None:
    assert blobs.children() == set()
    assert blobs.list("results") == []


def test_move_overwrites_its_target(blobs: Blobs) -> None:
    blobs.put_new("results/a", b"new")
    blobs.put_new("damaged/a", b"old")
    blobs.move("results/a", "damaged/a")
    assert blobs.get("damaged/a") == b"new"
    assert blobs.list("results") == []


def test_a_missing_key_is_file_not_found(blobs: Blobs) -> None:
    blobs.put_new("results/there", b"x")
    with pytest.raises(FileNotFoundError):
        blobs.get("results/a")
    with pytest.raises(FileNotFoundError):
        blobs.move("results/a", "damaged/a")
    assert not blobs.exists("results/a")
    assert blobs.exists("results/there")


def test_deleting_twice_is_no_error_and_frees_the_key(blobs: Blobs) -> None:
    blobs.put_new("results/a", b"x")
    blobs.delete("results/a")
    blobs.delete("results/a")
    assert not blobs.exists("results/a")
    assert blobs.put_new("results/a", b"y") is True


@pytest.mark.parametrize("size_bytes", [0, 7_000_000], ids=["empty", "larger than one upload part"])
def test_any_size_comes_back(blobs: Blobs, size_bytes: int) -> None:
    data = bytes(size_bytes)
    assert blobs.put_new("results/new", data) is True
    blobs.replace("results/over", data)
    assert blobs.get("results/new") == data
    assert blobs.get("results/over") == data
