"""Stages by the torch engine: exact forks (I3), untouched parents, divergence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from workers.engine import TorchEngine
from workers.training.curve import Diverged

IMAGES = """\
name: images
seed: 3
data: {source: digits, max_examples: 64, eval_examples: 32}
model: {family: resnet}
grid: {params: [1.4k], data_fraction: [0.5, 1.0], epochs: [1, 2]}
train: {optimizer: sgd, batch_size: 8, warmup_steps: 2, shift_pixels: 1}
"""
TEXT = """\
name: text
seed: 3
data: {source: python-stdlib, max_examples: 64, eval_examples: 16}
model: {family: transformer, dropout: 0.1}
grid: {params: [2k], data_fraction: [0.5, 1.0], epochs: [1, 2]}
train: {batch_size: 8, warmup_steps: 2}
"""
MEASURED = ("train_loss", "val_loss", "test_loss", "accuracy", "model_bytes")


def rows(plan, engine):
    """Run a plan's stages in order and return what each cell measured."""
    states, found = {None: None}, {}
    for stage in plan.tree:
        if stage.cell is None:
            states[stage.id] = engine.train(stage, states[stage.parent])
        else:
            outcome = engine.measure(stage, states[stage.parent])
            found[stage.cell.id] = {key: outcome[key] for key in MEASURED}
    return found


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("text", [TEXT, IMAGES], ids=["transformer", "resnet"])
@pytest.mark.parametrize("schedule", ["wsd", "wsm", "constant"])
def test_rows_of_a_shared_tree_equal_those_of_cells_trained_alone_to_the_bit(text, optimizer, schedule):
    sweep = parse_sweep(
        text, overrides=[f"train.optimizer={optimizer}", f"train.schedule={schedule}", "train.learning_rate=0.01"]
    )
    shared, alone = make_plan(sweep), make_plan(sweep, share=False)
    assert shared.flops_planned < alone.flops_planned
    engine = TorchEngine(shared.context)
    assert rows(shared, engine) == rows(alone, engine)


def test_a_merged_cell_is_the_mean_of_its_own_snapshots():
    plan = make_plan(parse_sweep(IMAGES, overrides=["train.schedule=wsm", "grid.data_fraction=1", "grid.epochs=1"]))
    engine = TorchEngine(plan.context)
    trunk, merge = (next(s for s in plan.tree if s.kind == kind) for kind in ("trunk", "merge"))
    steps = trunk.recipe.snapshot_steps(trunk.stop_step)
    assert steps == (7, 8)
    ends = [engine.train(replace(trunk, stop_step=step, windows=()), None).model for step in steps]
    state = engine.train(merge, engine.train(trunk, None))
    for name, value in state.model.items():
        both = [end[name] for end in ends]
        if np.issubdtype(value.dtype, np.floating):
            assert np.array_equal(value, ((both[0].astype(float) + both[1]) / 2).astype(np.float32)), name
        else:
            assert value == both[1] == 8


@pytest.mark.slow
def test_training_lowers_the_loss_below_chance_and_reports_every_score():
    sweep = parse_sweep(IMAGES, overrides=["grid.data_fraction=1", "data.max_examples=640", "grid.epochs=4"])
    plan = make_plan(sweep)
    engine = TorchEngine(plan.context)
    (outcome,) = rows(plan, engine).values()
    assert outcome["val_loss"] < math.log(10) - 0.1
    stage = next(s for s in plan.tree if s.cell)
    scores = engine.measure(stage, None)
    assert {"precision_macro", "recall_macro", "f1_macro"} <= scores.keys()
    assert scores["val_loss"] == pytest.approx(math.log(10), abs=0.5)
    assert scores.get("bits_per_byte") is None


def test_a_language_model_is_scored_in_bits_per_byte():
    plan = make_plan(parse_sweep(TEXT))
    outcome = TorchEngine(plan.context).measure(next(s for s in plan.tree if s.cell), None)
    assert outcome["bits_per_byte"] == pytest.approx(outcome["val_loss"] / math.log(2))
    assert outcome["val_loss"] == pytest.approx(math.log(256), abs=0.5)


@pytest.mark.parametrize("text", [TEXT, IMAGES], ids=["transformer", "resnet"])
def test_a_child_never_writes_into_its_parents_state(text):
    plan = make_plan(parse_sweep(text))
    engine = TorchEngine(plan.context)
    root, child = [s for s in plan.tree if s.kind == "trunk"][:2]
    state = engine.train(root, None)
    for array in (*state.model.values(), *state.optimizer.values()):
        array.setflags(write=False)
    before = {k: v.copy() for k, v in state.optimizer.items()}
    child = replace(child, parent=root.id, start_step=root.stop_step, stop_step=root.stop_step + 2)
    first, second = engine.train(child, state), engine.train(child, state)
    assert all(np.array_equal(before[k], v) for k, v in state.optimizer.items())
    assert all(np.array_equal(first.model[k], second.model[k]) for k in first.model)


def test_a_loss_that_is_not_finite_ends_the_stage():
    sweep = parse_sweep(IMAGES, overrides=["train.learning_rate=1e30", "train.schedule=constant"])
    plan = make_plan(sweep)
    engine = TorchEngine(plan.context)
    with pytest.raises(Diverged, match="learning_rate"):
        rows(plan, engine)


def test_other_data_than_was_planned_is_refused():
    context = make_plan(parse_sweep(IMAGES)).context
    data = context.data["pretrain"]
    other = replace(data, manifest=replace(data.manifest, digest="0" * 64))
    with pytest.raises(RuntimeError, match="differs from what was planned"):
        TorchEngine(replace(context, data={"pretrain": other}))


def test_seeds_give_different_models():
    plan = make_plan(parse_sweep(IMAGES, overrides=["grid.seeds=2", "grid.data_fraction=1", "grid.epochs=1"]))
    losses = [row["val_loss"] for row in rows(plan, TorchEngine(plan.context)).values()]
    assert losses[0] != losses[1]
