"""Whether models can train fused, and whether it pays."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch

from orchestrator.planning.recipe import Recipe
from workers.training.batches import Batch
from workers.training.fused import stacked_loss, train_fused
from workers.training.loop import cross_entropy
from workers.training.merge import OpenWindows

#: Optimisers whose step treats every element by itself, and so a stack of models as each model.
ELEMENTWISE = (torch.optim.AdamW, torch.optim.SGD)
#: Fused training must be this many times faster.
PAYS = 1.1
#: Rounds of the probe, fused and separate in turn, and steps in each; the first step of a round is not counted.
ROUNDS, STEPS = 3, 3


def fusable(module: torch.nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, sample: Batch) -> bool:
    """Return whether copies of a module, with other values, may train as one.

    False for buffers, which training may change (BatchNorm's running statistics); for random numbers (active dropout),
    whose seed is the model's own; for optimisers that are not elementwise; and where ranks share a batch or the model
    is compiled.

    Parameters
    ----------
    sample
        Inputs and targets of a batch of any size, on the module's device; a copy is tried on them.
    """
    if recipe.compile or recipe.world_size > 1 or type(optimizer) not in ELEMENTWISE or list(module.buffers()):
        return False
    trial = copy.deepcopy(module).train()
    parameters = {name: p.detach()[None] for name, p in trial.named_parameters()}
    try:
        stacked_loss(trial, parameters, *(t[None] for t in sample))
    except RuntimeError:  # vmap's word for random numbers, and for what it has no rule for
        return False
    return True


def fusing_pays(
    modules: Sequence[torch.nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    samples: Sequence[Batch],
    recipe: Recipe,
) -> bool:
    """Return whether fused training is at least ``PAYS`` times as fast, by a few steps on throw-away copies.

    Neither modules, optimisers nor torch's global generator change. The answer holds for a shape, a number of models
    and a device, and is worth keeping.

    Parameters
    ----------
    modules, optimizers
        As for :func:`workers.training.fused.train_fused`.
    samples
        One a module: inputs and targets of a whole batch.
    """
    still = replace(recipe, learning_rate=0.0)
    copies, owners = zip(*copy.deepcopy(list(zip(modules, optimizers, strict=True))), strict=True)
    alone, its = copy.deepcopy((modules[0], optimizers[0]))
    fused_s, separate_s = [], []
    for _ in range(ROUNDS):
        separate_s += _step_times_s(samples[0][0].device, lambda tick: _separate(alone, its, samples[0], still, tick))
        fused_s += _step_times_s(samples[0][0].device, lambda tick: _fused(copies, owners, samples, still, tick))
    return PAYS * min(fused_s) <= len(modules) * min(separate_s)


def _step_times_s(device: torch.device, run: Callable[[Callable[[int], None]], object]) -> list[float]:
    """Return the seconds between the ticks of a run."""
    moments = []

    def tick(_: int) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        moments.append(time.perf_counter())

    run(tick)
    return [later - earlier for earlier, later in pairwise(moments)]


def _fused(
    modules: Sequence[torch.nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    samples: Sequence[Batch],
    recipe: Recipe,
    tick: Callable[[int], None],
) -> None:
    train_fused(
        modules,
        optimizers,
        [[sample] * STEPS for sample in samples],
        recipe,
        start=0,
        stop=STEPS,
        total_steps=None,
        windows=[OpenWindows(recipe, (), {}) for _ in modules],
        after_step=tick,
    )


def _separate(
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    sample: Batch,
    recipe: Recipe,
    tick: Callable[[int], None],
) -> None:
    """Do what a step of ``train_steps`` does; its state stays still, as the rate is zero."""
    x, y = sample
    module.train()
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = cross_entropy(module(x), y)
        loss.backward()
        if recipe.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(module.parameters(), recipe.gradient_clip)
        optimizer.step()
        tick(step + 1)
