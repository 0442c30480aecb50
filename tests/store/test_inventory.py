"""What lies in a store with sizes and ages, wherever blobs lie; what a killed writer left included."""

from __future__ import annotations

import os
import time


def test_everything_is_listed_with_its_size_and_age(blobs):
    blobs.put_new("results/a.parquet", b"x" * 70_000)
    blobs.replace("checkpoints/ab/done-000000000003", b"y" * 1_200_000)
    blobs.put_new("store.json", b"{}")
    found = blobs.inventory()
    assert {key: stored.size_bytes for key, stored in found.items()} == {
        "results/a.parquet": 70_000,
        "checkpoints/ab/done-000000000003": 1_200_000,
        "store.json": 2,
    }
    assert all(-5 < stored.age_s < 60 for stored in found.values())


def test_a_temporary_file_of_a_killed_writer_is_listed_and_can_be_deleted(store):
    name = f"results/.tmp-{'0' * 32}"
    store.blobs.put_new("results/a.parquet", b"x")
    path = store.blobs.root / name
    path.write_bytes(b"half")
    os.utime(path, (time.time() - 7_200,) * 2)
    (store.blobs.root / "results/.DS_Store").write_bytes(b"a person's")
    found = store.blobs.inventory()
    assert set(found) == {"results/a.parquet", name}
    assert 7_190 < found[name].age_s < 7_260
    store.blobs.delete(name)
    assert not path.exists()
    assert set(store.blobs.inventory()) == {"results/a.parquet"}
