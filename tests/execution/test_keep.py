"""Final weights stay where a sweep asks for it, and are what would be trained anew."""

from __future__ import annotations

import json

import pytest

import scalaw
from orchestrator.errors import BadInput
from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from tests.execution.local import LocalRun, new_store

SWEEP = """\
name: kept
data: {source: digits, max_examples: 64, eval_examples: 32}
model: {family: resnet}
grid: {params: [400, 2k], data_fraction: [0.5, 1.0], compression: [{method: quantize, bits: 4}]}
train: {optimizer: sgd, batch_size: 8, warmup_steps: 2}
inference: {measure: false}
"""


def finished(tmp_path, keep):
    store = new_store(tmp_path / "store")
    plan = LocalRun(SWEEP, store, overrides=[f"keep={keep}"]).run().plan
    document = {"sweep": plan.sweep.canonical(), "task": "digits", "cells": [cell.id for cell in plan.cells]}
    store.save_sweep("kept", document)
    return store, {row["cell_id"]: row for row in store.results().to_pylist()}


@pytest.mark.parametrize(("keep", "most"), [("none", 0), ("best", 1), ("{top: 3}", 3), ("all", 8)])
def test_as_many_of_the_best_stay_as_are_asked_for(tmp_path, keep, most):
    store, rows = finished(tmp_path, keep)
    assert len(rows) == 8
    best = sorted((row["val_loss"], cell) for cell, row in rows.items())[:most]
    assert [(one.val_loss, one.cell_id) for one in store.weights.files()] == best


@pytest.mark.slow
def test_an_exported_model_is_that_of_its_row_kept_or_trained_anew(tmp_path):
    store, rows = finished(tmp_path, "best")
    (kept,) = store.weights.files()
    first = scalaw.export(store.uri, kept.cell_id, tmp_path / "kept")
    assert (first["kept"], first["val_loss"]) == (True, rows[kept.cell_id]["val_loss"])
    found = scalaw.gc(store, dry_run=True)["found"]
    assert "kept weights" not in {entry["what"] for entry in found}
    assert scalaw.gc(store, weights=True)["dropped_files"] >= 1
    again = scalaw.export(store.uri, kept.cell_id, tmp_path / "anew")
    assert (again["kept"], again["val_loss"]) == (False, first["val_loss"])
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("kept", "anew")]
    assert files[0] == files[1]


def test_keep_changes_no_id_and_what_it_can_not_be_is_refused_at_its_line():
    plain = make_plan(parse_sweep(SWEEP))
    assert [c.id for c in make_plan(parse_sweep(SWEEP + "keep: {top: 3}\n")).cells] == [c.id for c in plain.cells]
    assert parse_sweep(SWEEP + "keep: none\n").canonical() == parse_sweep(SWEEP).canonical()
    sweep = parse_sweep(SWEEP + "keep: {top: 3}\n")
    assert parse_sweep(json.dumps(sweep.canonical())) == sweep
    with pytest.raises(BadInput, match=r"s\.yaml:7: keep: can't be 'bset'; one of: none, best, all, \{top: 3\}"):
        parse_sweep(SWEEP + "keep: bset\n", name="s.yaml")
    with pytest.raises(BadInput, match=r"s\.yaml:7: keep\.?\S*: must be at least 1|greater"):
        parse_sweep(SWEEP + "keep: {top: 0}\n", name="s.yaml")


def test_simulated_cells_have_no_weights(simulated_yaml, tmp_path):
    with pytest.raises(BadInput, match="keep: simulated trains nothing"):
        make_plan(parse_sweep(simulated_yaml + "keep: best\n"))
    with pytest.raises(BadInput, match="`keep_weights`: simulated"):
        run_sweep(
            parse_sweep(simulated_yaml),
            store=str(tmp_path / "store"),
            keep_weights=[make_plan(parse_sweep(simulated_yaml)).cells[0].id],
        )
    with pytest.raises(BadInput, match="no cell whose id begins so"):
        run_sweep(parse_sweep(SWEEP), store=str(tmp_path / "store"), keep_weights=["zz"])
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_a_cell_that_has_its_row_is_trained_again_for_its_weights_and_the_row_stays(cluster, console, tmp_path):
    text = SWEEP.replace("[400, 2k], data_fraction: [0.5, 1.0]", "[400]")
    uri = str(tmp_path / "store")
    run_sweep(parse_sweep(text), store=uri, console=console)
    store = open_store(uri)
    before = store.results()
    (cell, *_) = [row["cell_id"] for row in before.to_pylist() if row["compression"] is None]
    result = run_sweep(parse_sweep(text), store=uri, console=console, keep_weights=[cell[:12]])
    assert (result.rows, result.missing) == (2, 0)
    (kept,) = store.weights.files()
    assert (kept.cell_id, kept.group) == (cell, "kept")
    after = open_store(uri).results()
    assert after.equals(before)
    (row,) = [row for row in after.to_pylist() if row["cell_id"] == cell]
    assert kept.val_loss == row["val_loss"]
