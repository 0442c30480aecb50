"""The training loop: steps ``[start, stop)`` of one data stream."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from orchestrator.planning.recipe import Recipe
from orchestrator.planning.schedule import rate_factor
from workers.derived_seed import derived_seed
from workers.sources.order import Order
from workers.sources.source import Split
from workers.training.augment import shifted
from workers.training.merge import OpenWindows


class Diverged(ArithmeticError):
    """The loss is no longer finite; training the same stage again would end the same way."""


def train_steps(
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Split,
    order: Order,
    recipe: Recipe,
    *,
    start: int,
    stop: int,
    total_steps: int | None,
    stream_examples: int,
    seed: int,
    windows: OpenWindows,
) -> None:
    """Train ``module`` in place for the optimiser steps ``[start, stop)``.

    Parameters
    ----------
    module
        Maps a batch of inputs to logits whose last (tokens) or second (images) axis are the classes.
    data
        Training split; ``order`` says which of its examples a step reads.
    total_steps
        Steps of the cell whose schedule is followed; ``None`` on a shared trunk.
    stream_examples
        Size of the prefix of the fixed permutation that the stream passes over.
    seed
        Of dropout and augmentation; both are re-seeded at every step, so a fork needs no generator state (I9).
    windows
        Take a snapshot after each step in which one is due.

    Raises
    ------
    Diverged
        If the loss of the last step is not finite.
    """
    module.train()
    batch = recipe.batch_size
    device = next(module.parameters()).device
    loss = torch.zeros(())
    for step in range(start, stop):
        x, y = data.batch(order.indices(stream_examples, step * batch, (step + 1) * batch))
        if recipe.shift_pixels:
            x = shifted(x, recipe.shift_pixels, np.random.default_rng(derived_seed(seed, "shift", step)))
        torch.manual_seed(derived_seed(seed, "dropout", step))
        factor = rate_factor(recipe, step, total_steps)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * group["multiplier"] * factor
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(module(torch.from_numpy(x).to(device)), torch.from_numpy(y).to(device))
        loss.backward()
        if recipe.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(module.parameters(), recipe.gradient_clip)
        optimizer.step()
        windows.take(step + 1, module)
    if not torch.isfinite(loss):
        raise Diverged(f"the loss is {loss.item()} after step {stop}: lower train.learning_rate or lengthen the warmup")


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    """Return the cross-entropy in nats per target, for ``(B, C)`` images or ``(B, T, C)`` tokens."""
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction=reduction)
