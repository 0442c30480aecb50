"""What is recorded on the way: true means, few points, whole after a stop, and the step where a loss was no number."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from workers.curves import COLUMNS, MOST_POINTS, point_steps
from workers.engine import TorchEngine
from workers.training.checkpoint import from_bytes, to_bytes
from workers.training.curve import CurveRecorder, Diverged, Validation

TEXT = """\
name: curves
seed: 3
data: {source: python-stdlib, max_examples: 96, eval_examples: 16}
model: {family: transformer, context: 16, dropout: 0.1}
grid: {params: [1k], seeds: 2}
train: {batch_size: 8, warmup_steps: 4, schedule: constant, eval_every: 5, fuse: true}
inference: {measure: false}
"""


@given(start=st.integers(0, 10**6), steps=st.integers(1, 10**8))
def test_a_stage_has_few_points_and_its_last_step_is_one(start, steps):
    found = point_steps(start, start + steps)
    assert len(found) <= MOST_POINTS
    assert found == sorted(set(found))
    assert start < found[0] <= found[-1] == start + steps
    assert len(found) == steps or steps > MOST_POINTS


def trunk(steps: int):
    plan = make_plan(parse_sweep(TEXT))
    stage = next(stage for stage in plan.tree if stage.steps)
    return replace(stage, stop_step=steps, total_steps=None)


def record(recorder: CurveRecorder, losses: np.ndarray, first: int = 0) -> None:
    for step, loss in enumerate(losses, first + 1):
        recorder.after(step, torch.tensor(loss, dtype=torch.float32), lambda step=step: torch.tensor(float(step)))


def test_a_point_is_the_mean_of_the_steps_since_the_last_one():
    losses = np.random.default_rng(0).random(1_000).astype(np.float32)
    recorder = CurveRecorder(trunk(1_000), start=0)
    record(recorder, losses)
    recorder.finish()
    points = recorder.points()
    edges = [0, *point_steps(0, 1_000)]
    assert points[:, 0].tolist() == edges[1:]
    means = [losses[a:b].astype(np.float64).mean() for a, b in pairwise(edges)]
    np.testing.assert_allclose(points[:, COLUMNS.index("train_loss")], means, rtol=1e-12)
    assert points[:, COLUMNS.index("gradient_norm")].tolist() == edges[1:]
    rates = points[:, COLUMNS.index("learning_rate")]
    assert rates[0] == rates[-1] / 4  # the first of four steps of warmup
    assert np.isnan(points[:, COLUMNS.index("val_loss")]).all()


@pytest.mark.parametrize("cut", [1, 437, 999])
def test_what_is_saved_between_two_points_is_gone_on_from(cut):
    losses = np.random.default_rng(0).random(1_000).astype(np.float32)
    whole, first = CurveRecorder(trunk(1_000), start=0), CurveRecorder(trunk(1_000), start=0)
    record(whole, losses)
    record(first, losses[:cut])
    second = CurveRecorder(trunk(1_000), start=cut, saved=[first.saved()])
    record(second, losses[cut:], cut)
    np.testing.assert_array_equal(second.points()[:, :5], whole.points()[:, :5])
    seconds = second.points()[:, 5]
    assert (np.diff(seconds) >= 0).all()


@pytest.mark.parametrize("bad", [3, 612, 1_000])
def test_divergence_is_found_at_the_next_point_and_named_by_its_step(bad):
    losses = np.ones(1_000)
    losses[bad - 1 :] = np.nan
    recorder = CurveRecorder(trunk(1_000), start=0)
    with pytest.raises(Diverged, match=f"after step {bad}:"):
        record(recorder, losses)


def test_of_several_models_each_has_its_own_curve_and_one_that_diverges_ends_none():
    recorder = CurveRecorder(trunk(300), start=0, models=3, validation=Validation(100, lambda: [7.0, 8.0, 9.0]))
    for step in range(1, 301):
        losses = torch.tensor([1.0, float("inf") if step == 250 else 2.0, 3.0])
        recorder.after(step, losses, lambda: torch.ones(3))
    recorder.finish()
    assert recorder.diverged == {1: 250}
    for model in (0, 2):
        points = recorder.points(model)
        assert set(points[:, 1]) == {model + 1.0}
        assert points[~np.isnan(points[:, 2])][:, [0, 2]].tolist() == [[s, 7.0 + model] for s in (100, 200, 300)]


class Told:
    """Takes curves, and stops a stage after some step with its state packed, as a worker would."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.curves, self.state = stop, [], None

    def add_curve(self, curve) -> None:
        self.curves.append(curve)

    def after_step(self, stage, step, state) -> None:
        if step == self.stop:
            self.state = from_bytes(to_bytes(state()))
            raise InterruptedError

    def after_step_together(self, states, step) -> None:
        for stage, state in states:
            self.after_step(stage, step, state)


@pytest.mark.slow
def test_a_stage_that_was_stopped_has_the_curve_that_it_would_have_had_and_none_where_its_beginning_is_not_known():
    plan = make_plan(parse_sweep(TEXT))
    engine = TorchEngine(plan.context)
    stage = next(stage for stage in plan.tree if stage.steps)
    whole, half, rest = Told(), Told(7), Told()
    end = engine.train(stage, None, whole)
    with pytest.raises(InterruptedError):
        engine.train(stage, None, half)
    again = engine.train(stage, half.state, rest)
    assert all(np.array_equal(end.model[name], again.model[name]) for name in end.model)
    (first,), (second,) = whole.curves, rest.curves
    np.testing.assert_array_equal(first.points[:, :5], second.points[:, :5])
    assert first.points[:, 0].tolist() == list(range(1, 13))
    assert np.flatnonzero(~np.isnan(first.points[:, 2])).tolist() == [4, 9]
    assert end.trained == again.trained == stage.id
    assert not end.curve
    unknown = Told()
    engine.train(stage, replace(half.state, curve={}), unknown)  # an older scalaw kept no curve
    assert unknown.curves == []


@pytest.mark.slow
def test_validation_on_the_way_and_recording_change_no_result():
    asked = make_plan(parse_sweep(TEXT))
    plain = make_plan(parse_sweep(TEXT, overrides=["train.eval_every=null"]))
    assert {cell.id for cell in asked.cells} == {cell.id for cell in plain.cells}
    states = [
        TorchEngine(plan.context).train(next(stage for stage in plan.tree if stage.steps), None, Told())
        for plan in (asked, plain)
    ]
    assert all(np.array_equal(states[0].model[name], states[1].model[name]) for name in states[0].model)


@pytest.mark.slow
def test_fused_seeds_have_the_curves_of_separate_ones(monkeypatch):
    plan = make_plan(parse_sweep(TEXT, overrides=["model.dropout=0"]))
    stages = [stage for stage in plan.tree if stage.steps]
    engine = TorchEngine(plan.context)
    fused, alone = Told(), Told()
    monkeypatch.setattr("workers.engine.fusing_pays", lambda *arguments: True)
    engine.train_together(stages, [None, None], fused)
    for stage in stages:
        engine.train(stage, None, alone)
    for one, other in zip(fused.curves, alone.curves, strict=True):
        assert one.stage.id == other.stage.id
        np.testing.assert_allclose(one.points[:, :5], other.points[:, :5], rtol=1e-4)
