"""Curves of a sweep: each stage once in the store, each cell's whole path in SQL."""

from __future__ import annotations

from itertools import pairwise

import pytest

from orchestrator.store.sql import query
from tests.execution.local import LocalRun, new_store

SWEEP = """\
name: drawn
data: {source: digits, max_examples: 128, eval_examples: 16}
model: {family: resnet}
grid:
  params: [700]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2]
  finetune: {data: {source: fake, image_size: 8, channels: 1, classes: 3, examples: 40}, examples: [32]}
  compression: [{method: quantize, bits: 8}, {method: prune, density: 0.5, recover: {epochs: 1}}]
train: {optimizer: sgd, batch_size: 8, warmup_steps: 2, eval_every: 3}
inference: {measure: false}
"""
#: Every point of every cell, but for the seconds.
DRAWN = "select * exclude (seconds) from curves"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The curves of a run that nothing disturbs."""
    run = LocalRun(SWEEP, new_store(tmp_path_factory.mktemp("undisturbed") / "s")).run()
    return query(run.store, DRAWN)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["wsd", "wsm"])
def test_every_cell_has_the_points_of_its_whole_path(schedule, tmp_path):
    run = LocalRun(SWEEP, new_store(tmp_path / "s"), [f"train.schedule={schedule}"]).run()
    rows = query(run.store, "select cell_id, steps, flops, compression from results where status = 'ok'")
    assert len(rows) == len(run.plan.cells) == 16
    for row in rows:
        there = query(run.store, f"select * from curves where cell_id = '{row['cell_id']}'")
        assert [point["step"] for point in there] == list(range(1, row["steps"] + 1))
        assert there[-1]["examples"] == 8 * row["steps"]
        if row["compression"] is None:
            assert there[-1]["flops"] == pytest.approx(row["flops"], rel=1e-9)
        assert all(point["train_loss"] > 0 and point["gradient_norm"] >= 0 for point in there)
        assert all(a["seconds"] <= b["seconds"] for a, b in pairwise(there))
        assert {point["tokens"] for point in there} == {None}
        first = [point for point in there if point["phase"] == there[0]["phase"]]
        assert all((point["val_loss"] is not None) is (point["step"] % 3 == 0) for point in first)
    points = run.store.curve_points()
    assert points.num_rows == sum(stage.steps for stage in run.plan.tree)  # what is shared is there once
    assert run.store.check().damaged == []
    assert run.store.check().curves > 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_run_that_was_broken_off_has_the_curves_of_an_undisturbed_one(how, undisturbed, tmp_path):
    hit = []

    def strike(run, gang, stage, step):
        if stage.kind not in hit and step == stage.start_step + 2:
            hit.append(stage.kind)
            if how == "kill":
                run.pool.kill(gang)
            else:
                run.stop.asked = True
                run.pool.stop_soon()

    runs = []
    while not runs or runs[-1].scheduler.unfinished:
        store = new_store(tmp_path / "s")
        runs.append(LocalRun(SWEEP, store, ["resources.checkpoint_interval_s=0.001"], on_step=strike).run())
    assert len(hit) > 1
    assert (len(runs) > 1) is (how == "stop")
    assert query(store, DRAWN) == undisturbed


def test_a_store_without_curves_answers_with_none(tmp_path):
    assert query(new_store(tmp_path / "s"), "select * from curves") == []
