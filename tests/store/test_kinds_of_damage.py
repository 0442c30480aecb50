"""105 kinds of damage to a store of 24 cells: each is named once, hides nothing else, and the next run mends it."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from orchestrator.analysis.sweep_status import progress_report
from orchestrator.errors import BadInput
from orchestrator.execution.run import run_sweep
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store, query
from orchestrator.store.checkpoints import Checkpoints, Progress
from orchestrator.store.heartbeat import take_lease
from tests.execution.local import LocalRun, new_store, rows
from workers.checkpointer import Checkpointer, StateGone
from workers.training.checkpoint import from_bytes, to_bytes
from workers.training.state import TrainState

SWEEP = """\
name: damaged
data: {source: simulated, examples: 1M}
model: {family: simulated, alpha: 0.3, beta: 0.25, gamma: 0.1, C: 20, floor: 0, noise: 0.01}
grid: {params: [1k, 10k], data_fraction: [0.1, 0.3, 1.0], epochs: [1, 2, 4, 8]}
fit: {laws: [product], bootstrap: 0}
"""
STAGE = "5a" * 32


def _flip(bit):
    def flip(data):
        broken = bytearray(data)
        broken[bit // 8 if bit >= 0 else len(data) // 2 if bit == -1 else len(data) - 1] ^= 1 << abs(bit) % 8
        return bytes(broken)

    return flip


#: What becomes of a file's bytes.
BYTES = {
    "emptied": lambda data: b"",
    "zeroed": lambda data: bytes(len(data)),
    "cut by a byte": lambda data: data[:-1],
    "cut in half": lambda data: data[: len(data) // 2],
    "beheaded": lambda data: data[1:],
    "its first byte flipped": _flip(3),
    "a byte in the middle flipped": _flip(-1),
    "its last byte flipped": _flip(-2),
    "random bytes": lambda data: random.Random(0).randbytes(len(data)),
    "grown": lambda data: data + b"\n",
    "another document": lambda data: b'{"cells": [], "id": "x", "layout": 1}',
    "a list": lambda data: b"[1]",
}


def _link_to_nothing(path):
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _folder(path):
    path.unlink()
    path.mkdir()


def _rewritten(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


DAMAGE = {
    **{name: _rewritten(change) for name, change in BYTES.items()},
    "a link to nothing": _link_to_nothing,
    "a pipe": _pipe,
    "a folder": _folder,
}
TARGETS = ["results/?*.parquet", "results/compacted-*", "fits/*", "sweeps/*/*", "store.json", "logs/*.heartbeat.json"]
#: What the damaged file takes along: rows of cells.
LOST = {"results/?*.parquet": 1, "results/compacted-*": 12}


def _run(uri):
    """Train what is missing, without Ray, and end as a run of the whole sweep does."""
    store = open_store(uri, create=True)
    LocalRun(SWEEP, store).run()
    run_sweep(parse_sweep(SWEEP), store=uri, console=Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A store of 24 cells: 12 in one part, 12 in parts of their own; a fit, a sweep, a driver's last heartbeat."""
    store = new_store(tmp_path_factory.mktemp("template") / "store")
    run = LocalRun(SWEEP, store)
    cells = run.plan.cells
    run.run()
    by_cell = {cell.id: store.blobs.get(f"results/{cell.id}.parquet") for cell in cells}
    for cell in cells[12:]:
        store.blobs.delete(f"results/{cell.id}.parquet")
    store.compact()
    for cell in cells[12:]:
        store.blobs.put_new(f"results/{cell.id}.parquet", by_cell[cell.id])
    _run(store.uri)
    (lease,) = Path(store.uri).glob("logs/*.lease-*")  # whoever ran it has ended since
    lease.write_text(json.dumps({**json.loads(lease.read_text()), "process_started": "an earlier boot/1"}))
    assert store.results().num_rows == 24
    return store


@pytest.fixture
def copy(template, tmp_path):
    shutil.copytree(template.uri, tmp_path / "store")
    return tmp_path / "store"


def _find(root, target):
    found = sorted(path for path in root.glob(target) if target.startswith("results/c") or "compacted" not in path.name)
    return found[len(found) // 2]


def test_there_are_105_kinds():
    assert len(DAMAGE) * (len(TARGETS) + 1) == 105


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_it_is_named_once_hides_nothing_else_and_is_mended(template, copy, target, damage, caplog):
    path = _find(copy, target)
    key = str(path.relative_to(copy))
    damage(path)
    a_folder = path.is_dir()

    checked = open_store(str(copy)).check()
    if a_folder and not key.endswith((".parquet", "store.json")):
        assert checked.damaged == []  # a folder is nobody's document
    elif damage is DAMAGE["another document"] and "heartbeat" in key:
        assert checked.unsealed == [key]  # as an older scalaw wrote them
    else:
        assert [broken.key for broken in checked.damaged] == [key]

    caplog.clear()
    reader = open_store(str(copy))
    left = rows(reader)
    whole = rows(template)
    assert len(left) == 24 - LOST.get(target, 0)
    assert left.items() <= whole.items()
    assert len(reader.done()) == len(left)
    assert reader.fits().num_rows == (0 if target == "fits/*" else template.fits().num_rows)
    if target == "sweeps/*/*" and not a_folder:
        with pytest.raises(BadInput, match=re.escape(f"{key} is damaged")) as refusal:
            query(open_store(str(copy)), "select 1")
        assert "\n" not in str(refusal.value)
    else:
        assert query(open_store(str(copy)), "select count(*) n from results") == [{"n": len(left)}]
    if target == "sweeps/*/*" and a_folder:
        with pytest.raises(BadInput, match="rows of 24 cells, but no record of their sweep"):
            progress_report(str(copy), None)
    else:
        report = progress_report(str(copy), None)
        assert [sweep["done"] for sweep in report["sweeps"]] == ([] if target == "sweeps/*/*" else [len(left)])
        assert report["damaged"] == ([key] if target == "sweeps/*/*" else [])
    named = [record.getMessage() for record in caplog.records if key in record.getMessage()]
    if key.endswith(".parquet"):
        assert len(named) == 1
        assert "moved to damaged/" in named[0]
    assert all("\n" not in sentence for sentence in named)

    _run(str(copy))
    mended = open_store(str(copy))
    assert rows(mended) == whole
    assert mended.check().damaged == []
    assert mended.sweeps() == template.sweeps()
    assert mended.fits().num_rows >= template.fits().num_rows
    assert [entry["state"] for entry in progress_report(str(copy), None)["sweeps"]] == ["done"]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_done_without(tmp_path, damage):
    store = open_store(str(tmp_path / "store"), create=True)
    keeper = Checkpointer(store.checkpoints, to_bytes, from_bytes)
    state = TrainState(step=7, model={"w": np.random.default_rng(0).normal(size=300_000)}, done=False)
    store.checkpoints.save(STAGE, Progress.BEGUN, 7, to_bytes(state))
    assert keeper.found(STAGE).step == 7
    (key,) = store.checkpoints.keys()
    damage(store.blobs.root / key)
    is_folder = (store.blobs.root / key).is_dir()
    if not is_folder:
        assert [broken.key for broken in store.check().damaged] == [key]
        with pytest.raises(StateGone, match=f"the checkpoint of stage {STAGE[:12]} is no state"):
            keeper.found(STAGE)
    assert keeper.found(STAGE) is None
    store.checkpoints.save(STAGE, Progress.BEGUN, 7, to_bytes(state))
    assert keeper.found(STAGE).step == 7
    assert Checkpoints(store.blobs).kept() == {STAGE: Progress.BEGUN}


def test_where_damage_cant_be_moved_each_is_named_once_and_the_rest_is_read(copy, template, caplog):
    path = _find(copy, "results/?*.parquet")
    path.write_bytes(b"damaged")
    (copy / "damaged").write_text("a file where the folder should be")
    reader = open_store(str(copy))
    for _ in range(3):
        assert len(rows(reader)) == 23
    assert len(caplog.records) == 1
    assert "left in its place, where nothing can be written" in caplog.text


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", json.dumps({"host": 3, "pid": []}).encode()])
def test_a_damaged_lease_blocks_no_driver(copy, content):
    (copy / "logs/damaged.lease-000009").write_bytes(content)
    (copy / "logs/damaged.heartbeat.json").write_bytes(content)
    assert take_lease(open_store(str(copy)), "damaged").number == 10
