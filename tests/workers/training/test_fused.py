"""Fused training: what K models of one shape become as one batched model, against each trained alone."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.spec.registries import OPTIMIZERS
from workers.engine import TorchEngine
from workers.training import fusing
from workers.training.batches import training_picks
from workers.training.folded_attention import FoldedAttention
from workers.training.fused import LOSS_TOLERANCE, clip_each, stacked_loss, train_fused
from workers.training.fusing import fusable, fusing_pays
from workers.training.loop import cross_entropy
from workers.training.merge import OpenWindows
from workers.training.state import load_model, load_optimizer, save_state

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = """\
name: text
seed: 3
data: {source: python-stdlib, max_examples: 64, eval_examples: 32}
model: {family: transformer}
grid: {params: [2k], data_fraction: [0.5, 1.0], epochs: [1, 2], seeds: 3}
train: {batch_size: 8, warmup_steps: 2, learning_rate: 0.02, weight_decay: 0.01, gradient_clip: 0.5}
"""
IMAGES = """\
name: images
data: {source: digits}
model: {family: resnet}
grid: {params: [1.4k]}
train: {optimizer: sgd, batch_size: 8}
"""


@cache
def planned(text=TEXT, *overrides):
    """Return a plan and its engine, which keeps nothing of one test for the next."""
    plan = make_plan(parse_sweep(text, overrides=list(overrides)))
    return plan, TorchEngine(plan.context)


def roots(plan):
    """Return the first stage of each seed."""
    return [stage for stage in plan.tree if stage.parent is None]


def built(engine, stage, parent=None):
    module = engine.build(stage)
    recipe = stage.recipe
    optimizer = OPTIMIZERS.load(recipe.optimizer)(engine.family.parameter_groups(module, stage.shape), recipe)
    if parent is not None:
        load_model(parent, module)
        load_optimizer(parent, module, optimizer)
    return module, optimizer


def batches(engine, stage):
    """Return what a stage reads, step by step."""
    picks = training_picks(engine.data("pretrain").order(stage.seed), stage, start=stage.start_step, mine=slice(None))
    return engine.data("pretrain").feeds["train"].batches(picks)


def train_together(engine, stages, models, parents=None, after_step=lambda step: None):
    """Train the built models of equal stages as one; return which are finite and the states."""
    recipe, first = stages[0].recipe, stages[0]
    begun = [parent.sums if parent else {} for parent in parents or [None] * len(stages)]
    windows = [OpenWindows(recipe, stage.windows, sums) for stage, sums in zip(stages, begun, strict=True)]
    modules, optimizers = zip(*models, strict=True)
    finite = train_fused(
        modules,
        optimizers,
        [batches(engine, stage) for stage in stages],
        recipe,
        start=first.start_step,
        stop=first.stop_step,
        total_steps=first.total_steps,
        windows=windows,
        after_step=after_step,
    )
    return finite, [
        save_state(module, optimizer, step=first.stop_step, wall_s=0.0, sums=window.sums, phase="pretrain", done=True)
        for module, optimizer, window in zip(modules, optimizers, windows, strict=True)
    ]


def assert_close(state, alone):
    """Parameters, optimiser arrays and running sums of two states agree; counters are equal."""
    assert state.step == alone.step
    assert state.sums.keys() == alone.sums.keys()
    groups = [(state.model, alone.model), (state.optimizer, alone.optimizer)]
    groups += [(state.sums[length], alone.sums[length]) for length in alone.sums]
    for found, wanted in groups:
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            if name.endswith("/step"):
                assert found[name] == value
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4 * np.abs(value).max(), err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["wsd", "wsm"])
def test_every_stage_of_a_tree_ends_as_it_does_when_each_seed_trains_alone(optimizer, schedule):
    plan, engine = planned(TEXT, f"train.optimizer={optimizer}", f"train.schedule={schedule}")
    by_seed = [[stage for stage in plan.tree if stage.seed == seed] for seed in (3, 4, 5)]
    together, alone, kinds = {None: None}, {None: None}, []
    for stages in zip(*by_seed, strict=True):
        kinds.append(stages[0].kind)
        if stages[0].kind == "evaluate":
            for stage in stages:
                losses = [engine.measure(stage, states[stage.parent])["val_loss"] for states in (together, alone)]
                assert losses[0] == pytest.approx(losses[1], abs=LOSS_TOLERANCE["fp32"])
            continue
        parents = [together[stage.parent] for stage in stages]
        if stages[0].kind == "merge":
            ends = [engine.train(stage, parent) for stage, parent in zip(stages, parents, strict=True)]
        else:
            models = [built(engine, *pair) for pair in zip(stages, parents, strict=True)]
            finite, ends = train_together(engine, stages, models, parents)
            assert finite == [True] * 3
        for stage, end in zip(stages, ends, strict=True):
            together[stage.id], alone[stage.id] = end, engine.train(stage, alone[stage.parent])
            assert_close(end, alone[stage.id])
    assert kinds.count("trunk") > 1
    assert ("cooldown" if schedule == "wsd" else "merge") in kinds


@pytest.mark.slow
def test_in_half_precision_the_losses_agree_within_its_own_tolerance():
    plan, engine = planned(TEXT, "train.precision=bf16", "grid.data_fraction=1", "grid.epochs=1")
    stages = roots(plan)
    _, states = train_together(engine, stages, [built(engine, stage) for stage in stages])
    evaluate = next(stage for stage in plan.tree if stage.cell)
    for stage, state in zip(stages, states, strict=True):
        alone = engine.measure(evaluate, engine.train(stage, None))["val_loss"]
        assert engine.measure(evaluate, state)["val_loss"] == pytest.approx(alone, abs=LOSS_TOLERANCE["bf16"])


def test_a_model_that_diverges_is_named_and_leaves_the_others_unharmed():
    plan, engine = planned()
    stages = roots(plan)
    models = [built(engine, stage) for stage in stages]
    with torch.no_grad():
        models[1][0].head.weight.fill_(float("inf"))
    finite, states = train_together(engine, stages, models)
    assert finite == [True, False, True]
    for index in (0, 2):
        assert_close(states[index], engine.train(stages[index], None))


def test_each_model_can_be_saved_after_any_step():
    plan, engine = planned(TEXT, "train.optimizer=sgd")
    stages = roots(plan)
    models = [built(engine, stage) for stage in stages]
    kept = {}

    def keep(step):
        kept[step] = [
            save_state(*model, step=step, wall_s=0.0, sums={}, phase="pretrain", done=False) for model in models
        ]

    train_together(engine, stages, models, after_step=keep)
    assert list(kept) == list(range(1, stages[0].stop_step + 1))
    for index, stage in enumerate(stages):
        assert_close(kept[1][index], engine.train(replace(stage, stop_step=1), None))
        assert_close(kept[2][index], engine.train(replace(stage, stop_step=2), None))


def test_models_share_no_memory_afterwards():
    plan, engine = planned()
    models = [built(engine, stage) for stage in roots(plan)]
    train_together(engine, roots(plan), models)
    tensors = [p.data for module, _ in models for p in module.parameters()]
    tensors += [value for _, optimizer in models for state in optimizer.state.values() for value in state.values()]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == len(tensors)
    assert all(optimizer.param_groups[0]["lr"] == models[0][1].param_groups[0]["lr"] for _, optimizer in models)


def test_too_few_batches_are_refused():
    plan, engine = planned()
    stages = [replace(stage, stop_step=stage.stop_step + shift) for shift, stage in enumerate(roots(plan)[:2])]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        train_together(engine, stages[::-1], [built(engine, stage) for stage in stages])


def test_each_model_is_clipped_by_its_own_norm():
    drawn = torch.Generator().manual_seed(0)
    gradients = [torch.randn(3, *shape, generator=drawn) for shape in [(4, 5), (7,), ()]]
    for gradient in gradients:
        gradient[0] *= 1e-3
        gradient[2] *= 1e3
    alone = []
    for index in range(3):
        parameters = [torch.nn.Parameter(torch.zeros(g.shape[1:])) for g in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient[index].clone()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        alone.append([p.grad for p in parameters])
    small = [g[0].clone() for g in gradients]
    clip_each(gradients, 1.0)
    for index in range(3):
        for gradient, wanted in zip(gradients, alone[index], strict=True):
            torch.testing.assert_close(gradient[index], wanted)
    assert all(torch.equal(g[0], before) for g, before in zip(gradients, small, strict=True))


def test_stacked_losses_are_those_of_the_modules_and_no_kernel_falls_back():
    plan, engine = planned()
    stages = roots(plan)
    modules = [built(engine, stage)[0] for stage in stages]
    x, y = (torch.stack(each) for each in zip(*(next(batches(engine, stage)) for stage in stages), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = stacked_loss(modules[0], torch.func.stack_module_state(modules)[0], x, y)
        losses.sum().backward()
    for loss, module, own_x, own_y in zip(losses, modules, x, y, strict=True):
        torch.testing.assert_close(loss, cross_entropy(module(own_x), own_y))


def test_attention_under_vmap_equals_a_call_for_each_copy_to_the_bit_and_warns_of_nothing():
    q, k, v = torch.randn(3, 4, 2, 3, 8, 16, generator=torch.Generator().manual_seed(0))

    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    with FoldedAttention(), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = torch.vmap(attend)(q, k, v)
        shared = torch.vmap(attend, in_dims=(0, None, None))(q, k[0], v[0])
    assert torch.equal(found, torch.stack([attend(*each) for each in zip(q, k, v, strict=True)]))
    assert torch.equal(shared, torch.stack([attend(each, k[0], v[0]) for each in q]))


def test_attention_that_no_copy_has_for_itself_keeps_its_gradient():
    inputs = torch.randn(3, 2, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    q, k, v = (t.clone().requires_grad_() for t in inputs)

    def mixed(factor):
        return factor * F.scaled_dot_product_attention(q, k, v, scale=0.5).pow(2).sum()

    wanted = torch.autograd.grad(3 * mixed(torch.ones(())), (q, k, v))
    with FoldedAttention():
        found = torch.autograd.grad(torch.vmap(mixed)(torch.tensor([1.0, 2.0])).sum(), (q, k, v))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("text", "override", "answer"),
    [
        (TEXT, "model.dropout=0", True),
        (TEXT, "model.dropout=0.1", False),
        (TEXT, "train.compile=true", False),
        (TEXT, "resources.world_size=2", False),
        (IMAGES, "train.shift_pixels=0", False),
    ],
    ids=["transformer", "dropout", "compiled", "gang", "batch-norm"],
)
def test_what_cannot_be_batched_with_equal_results_is_not_fusable(text, override, answer):
    plan, engine = planned(text, override)
    stage = roots(plan)[0]
    assert fusable(*built(engine, stage), stage.recipe, next(batches(engine, stage))) is answer


class Counting(torch.nn.Module):
    """Counts its calls in a buffer, as ``functional_call`` would not keep it."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(256, 256)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, tokens):
        self.calls = self.calls + 1
        return self.table(tokens)


def test_a_module_with_buffers_is_not_fusable():
    plan, engine = planned()
    module, sample = Counting(), next(batches(engine, roots(plan)[0]))
    assert not fusable(module, torch.optim.SGD(module.parameters()), roots(plan)[0].recipe, sample)
    del module.calls
    module.calls = 0
    assert fusable(module, torch.optim.SGD(module.parameters()), roots(plan)[0].recipe, sample)


def test_an_optimizer_that_is_not_known_to_be_elementwise_is_not_fusable():
    plan, engine = planned()
    module, _ = built(engine, roots(plan)[0])
    sample = next(batches(engine, roots(plan)[0]))
    assert not fusable(module, torch.optim.Adafactor(module.parameters()), roots(plan)[0].recipe, sample)


def test_the_probe_leaves_models_optimizers_and_the_generator_untouched():
    plan, engine = planned()
    stages = roots(plan)
    models = [built(engine, stage, engine.train(stage, None)) for stage in stages]
    samples = [next(batches(engine, stage)) for stage in stages]
    for module, _ in models:
        module.eval()
    before = [
        save_state(*copy.deepcopy(model), step=0, wall_s=0.0, sums={}, phase="pretrain", done=False) for model in models
    ]
    groups = [copy.deepcopy(optimizer.param_groups) for _, optimizer in models]
    generator = torch.get_rng_state()
    answer = fusing_pays(*map(list, zip(*models, strict=True)), samples, roots(plan)[0].recipe)
    assert answer in (True, False)
    assert torch.equal(torch.get_rng_state(), generator)
    for (module, optimizer), state, group in zip(models, before, groups, strict=True):
        after = save_state(module, optimizer, step=0, wall_s=0.0, sums={}, phase="pretrain", done=False)
        assert all(np.array_equal(after.model[name], value) for name, value in state.model.items())
        assert after.optimizer.keys() == state.optimizer.keys()
        assert all(np.array_equal(after.optimizer[name], value) for name, value in state.optimizer.items())
        assert [g["lr"] for g in optimizer.param_groups] == [g["lr"] for g in group]
        assert not module.training
        assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize(("fused_s", "answer"), [(2.0, True), (2.9, False), (3.5, False)])
def test_fusing_pays_where_a_step_of_all_is_clearly_shorter_than_one_of_each(monkeypatch, fused_s, answer):
    plan, engine = planned()
    models = [built(engine, stage) for stage in roots(plan)]
    samples = [next(batches(engine, stage)) for stage in roots(plan)]
    rounds = iter([[1.1, 1.0], [9.0, fused_s]] * fusing.ROUNDS)
    monkeypatch.setattr(fusing, "_step_times_s", lambda device, run: next(rounds))
    assert fusing_pays(*map(list, zip(*models, strict=True)), samples, roots(plan)[0].recipe) is answer
