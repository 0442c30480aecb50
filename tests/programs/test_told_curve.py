"""What a program tells of its steps makes the same points, however often its process begins anew."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from workers.curves import MOST_POINTS, point_steps
from workers.programs.told_curve import ToldCurve

TEXT = "name: told\nmodel: {family: simulated}\ndata: {source: simulated, examples: 640}\ngrid: {params: [1k]}\n"
STAGE = next(stage for stage in make_plan(parse_sweep(TEXT)).tree if stage.steps)
LOSSES = np.random.default_rng(0).random(1_000)


def stage(start: int, stop: int):
    return replace(STAGE, start_step=start, stop_step=stop)


def tell(curve: ToldCurve, first: int, last: int, every: int = 1, began_s: float = 10.0) -> None:
    for step in range(first + 1, last + 1):
        if step % every == 0:
            line = {"gradient_norm": step / 2, "val_loss": 7.0 if step == 500 else None}
            curve.add(step, LOSSES[step - 1], line, began_s + step / 100)


def test_points_are_where_our_own_stages_have_them_and_where_a_program_scored_itself():
    curve = ToldCurve(stage(0, 1_000), began_s=10.0)
    tell(curve, 0, 1_000)
    points = curve.points()
    edges = sorted({*point_steps(0, 1_000), 500})
    assert points[:, 0].tolist() == edges
    assert len(edges) <= MOST_POINTS + 1
    means = [LOSSES[a:b].mean() for a, b in zip([0, *edges], edges, strict=False)]
    np.testing.assert_allclose(points[:, 1], means, rtol=1e-12)
    assert points[~np.isnan(points[:, 2])][:, [0, 2]].tolist() == [[500, 7.0]]
    assert points[:, 4].tolist() == [step / 2 for step in edges]
    np.testing.assert_allclose(points[:, 5], np.array(edges) / 100)


@pytest.mark.parametrize("cut", [1, 437, 500, 999])
@pytest.mark.parametrize("further", [0, 60])
def test_a_process_that_begins_anew_from_a_state_changes_no_point(cut, further):
    whole, first = ToldCurve(stage(0, 1_000), began_s=10.0), ToldCurve(stage(0, 1_000), began_s=10.0)
    tell(whole, 0, 1_000)
    tell(first, 0, min(1_000, cut + further))  # its state after `cut` steps was the last that was kept
    second = ToldCurve(stage(0, 1_000), began_s=0.0, saved=json.loads(json.dumps(first.saved(cut))))
    tell(second, cut, 1_000)
    np.testing.assert_array_equal(second.points(), whole.points())
    tell(first, cut, 1_000)  # on the same worker
    np.testing.assert_array_equal(first.points(), whole.points())


def test_a_program_that_tells_of_some_steps_alone_has_their_points_and_the_last_one():
    curve = ToldCurve(stage(100, 250), began_s=0.0)
    tell(curve, 0, 400, every=7)
    steps = curve.points()[:, 0].tolist()
    assert steps == list(range(105, 250, 7))
    rare = ToldCurve(stage(0, 1_000), began_s=0.0)
    tell(rare, 0, 1_000, every=30)
    assert rare.points()[-1, 0] == 990


def test_seconds_are_counted_from_the_end_of_the_stage_before():
    curve = ToldCurve(stage(100, 250), began_s=0.0)
    tell(curve, 0, 250, began_s=30.0)
    np.testing.assert_allclose(curve.points()[:, 5], np.arange(1, 151) / 100)


def test_what_is_said_later_of_the_same_step_is_taken_and_its_loss_counts_once():
    curve = ToldCurve(stage(0, 3), began_s=0.0)
    for step, loss, line in [(1, 5.0, {}), (2, 4.0, {"val_loss": 6.0}), (2, 4.0, {"learning_rate": 0.5}), (3, 3.0, {})]:
        curve.add(step, loss, line, float(step))
    points = curve.points()
    assert points[:, :2].tolist() == [[1, 5.0], [2, 4.0], [3, 3.0]]
    assert points[1].tolist()[2:4] == [6.0, 0.5]
