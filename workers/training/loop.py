"""The training loop: the steps of one stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from orchestrator.planning.tree import Stage
from workers.derived_seed import derived_seed
from workers.device import seed_generators
from workers.rank import Rank
from workers.sources.order import EpochOrder
from workers.training.batches import Feed, training_picks
from workers.training.curve import CurveRecorder
from workers.training.merge import OpenWindows
from workers.training.nested import examples_in, parted

#: Maps inputs, logits and targets of a batch to what is minimised.
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Model:
    """A module, and the callable that trains it: the module itself, or what compiles or wraps it.

    Parameters
    ----------
    module
        Holds parameters and buffers.
    forward
        Maps a batch of inputs to logits whose last axis are the classes.
    loss
        Maps inputs and targets to their cross-entropy, where that is one graph; ``None``: it is taken of the logits.
    own
        Maps a batch of any structure to the loss of a family that has one of its own.
    """

    module: torch.nn.Module
    forward: Callable[[torch.Tensor], torch.Tensor]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    own: Callable[[Any], torch.Tensor] | None = None


def train_steps(
    model: Model,
    optimizer: torch.optim.Optimizer,
    feed: Feed,
    order: EpochOrder,
    stage: Stage,
    *,
    start: int,
    rank: Rank,
    windows: OpenWindows,
    after_step: Callable[[int], None],
    loss_of: Loss | None = None,
    micro_batches: int = 1,
    recorder: CurveRecorder | None = None,
) -> None:
    """Train a model in place for the optimiser steps ``[start, stage.stop_step)``.

    Parameters
    ----------
    feed
        Training split on the model's device; ``order`` says which of its examples a step reads.
    stage
        Its stream, schedule and seed. Dropout and augmentation are re-seeded at every step, so a fork needs no
        generator state (I9).
    start
        The stage's own start, or a later step from which it is taken up again.
    rank
        This process among those that share each batch.
    windows
        Take a snapshot after each step in which one is due.
    after_step
        Called with the number of steps done after each.
    loss_of
        What is minimised, of inputs, logits and targets; by default the cross-entropy.
    micro_batches
        Parts in which each batch passes the device; their gradients add up to that of the batch.
    recorder
        Takes the losses; ``None``: one whose points nobody reads.

    Raises
    ------
    Diverged
        If a loss is not finite on any rank; found at the next point of the curve, and named by its step.
    TypeError
        If a batch is to be parted and the model has BatchNorm, for which a part is another batch.
    """
    module, recipe = model.module, stage.recipe
    if micro_batches > 1:
        _check_parts(module)
    to_training(module)
    device = next(module.parameters()).device
    half = torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16")
    recorder = recorder or CurveRecorder(stage, start=start, rank=rank)
    picks = training_picks(order, stage, start=start, mine=rank.share(recipe.batch_size))
    for step, batch in enumerate(feed.batches(picks), start):
        seed_generators(derived_seed(stage.seed, "dropout", step, rank.index), device)
        factor = recipe.rate_factor(step, stage.total_steps)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * group["multiplier"] * factor
        optimizer.zero_grad(set_to_none=True)
        if recipe.compile == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # gradients of the step before are gone: its memory is free
        loss = torch.zeros((), device=device)
        for share in parted(batch, micro_batches) if micro_batches > 1 else (batch,):
            with half:
                part = _loss(model, share, loss_of)
            if micro_batches > 1:
                part = part * (examples_in(share) / examples_in(batch))
            part.backward()
            loss = part.detach() if micro_batches == 1 else loss + part.detach()
        norm = None
        if recipe.gradient_clip is not None:
            norm = torch.nn.utils.clip_grad_norm_(module.parameters(), recipe.gradient_clip)
        optimizer.step()
        recorder.after(step + 1, loss, partial(_gradient_norm, module, norm))
        windows.take(step + 1, module)
        after_step(step + 1)
    optimizer.zero_grad(set_to_none=True)
    recorder.finish()


def _gradient_norm(module: torch.nn.Module, known: torch.Tensor | None) -> torch.Tensor:
    """Return the global norm of a module's gradients, which clipping has computed already."""
    if known is not None:
        return known
    return torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])


def _loss(model: Model, batch: Any, loss_of: Loss | None) -> torch.Tensor:
    if model.own is not None:
        if loss_of is not None:
            raise TypeError("a compression with a loss of its own can't train a family that has one too")
        return model.own(batch)
    x, y = batch
    if loss_of is not None:
        return loss_of(x, model.forward(x), y)
    return cross_entropy(model.forward(x), y) if model.loss is None else model.loss(x, y)


def _check_parts(module: torch.nn.Module) -> None:
    if any(isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) for layer in module.modules()):
        raise TypeError(
            "the device has no memory for a whole batch, and BatchNorm makes a part of a batch another batch: lower "
            "train.batch_size, or spread it over more ranks"
        )


def to_training(module: torch.nn.Module) -> None:
    """Put a module into training mode, but layers whose parameters are all frozen: their statistics stay."""
    module.train()
    for layer in module.modules():
        own = list(layer.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            layer.eval()


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    """Return the cross-entropy in nats per target, for ``(B, C)`` images or ``(B, T, C)`` tokens."""
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction=reduction)
