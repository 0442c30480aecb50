"""Fused training: models of one shape, other seeds of one N, train as one batched model.

Their parameters are stacked, ``torch.vmap`` runs the family's own module over the stack, and one optimiser steps it. A
small model's steps are mostly the cost of calling kernels; K models then pay it once instead of K times. What each
model reads and the formulas are those of separate training. The kernels are batched ones that add up in another order,
so results agree within ``LOSS_TOLERANCE``, not to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch.func import functional_call

from orchestrator.planning.recipe import Recipe
from orchestrator.spec.registries import OPTIMIZERS
from workers.training.batches import Batch
from workers.training.curve import CurveRecorder
from workers.training.folded_attention import FoldedAttention
from workers.training.loop import cross_entropy
from workers.training.merge import OpenWindows

#: Largest difference in validation loss from separate training, in nats, by ``Recipe.precision``. Rounding differs at
#: each step and training amplifies it: on quickstart's models 1.2e-7 was seen after 1,024 steps in fp32, and 3.6e-4
#: after 300 in bf16, where another seed is 0.01 to 0.03 away.
LOSS_TOLERANCE = {"fp32": 1e-5, "bf16": 5e-3}


def train_fused(
    modules: Sequence[torch.nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    batches: Sequence[Iterable[Batch]],
    recipe: Recipe,
    *,
    start: int,
    stop: int,
    total_steps: int | None,
    windows: Sequence[OpenWindows],
    after_step: Callable[[int], None],
    recorder: CurveRecorder | None = None,
) -> list[bool]:
    """Train K models in place for the optimiser steps ``[start, stop)``, as K calls of ``train_steps`` would.

    While it runs, the modules' parameters and the optimisers' states are views of the stack, so each model can be
    saved after any step. At the end each has memory of its own again.

    Parameters
    ----------
    modules
        Of one shape, each on the same device; see :func:`workers.training.fusing.fusable`.
    optimizers
        One a module, built from the same groups and recipe, with the states of ``start`` steps.
    batches
        One a module: what it reads, ``stop - start`` pairs of inputs and targets, on the device and
        of equal shapes for all.
    total_steps
        Steps of the cell whose schedule is followed; ``None`` on a shared trunk.
    windows
        One a module; takes a snapshot after each step in which one is due.
    after_step
        Called with the number of steps done after each.
    recorder
        Takes the losses of all models.

    Returns
    -------
    finite
        For each module whether the loss of its last step is finite. One that diverged does not touch the others.
    """
    for module in modules:
        module.train()
    stack = _Stack(modules, optimizers, recipe)
    losses = torch.zeros(len(modules))
    for step, *read in zip(range(start, stop), *batches, strict=True):
        stack.set_rate(recipe.learning_rate * recipe.rate_factor(step, total_steps))
        losses = stack.step(*(torch.stack(tensors) for tensors in zip(*read, strict=True)))
        if recorder is not None:
            recorder.after(step + 1, losses, stack.gradient_norms)
        for module, window in zip(modules, windows, strict=True):
            window.take(step + 1, module)
        after_step(step + 1)
    stack.dissolve()
    if recorder is not None:
        recorder.finish()
    finite: list[bool] = torch.isfinite(losses).tolist()
    return finite


def stacked_loss(
    module: torch.nn.Module, parameters: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return the loss of each copy of a module, (K,).

    Parameters
    ----------
    parameters
        By name, (K, …) each.
    x, y
        Inputs (K, B, …) and targets.

    Raises
    ------
    RuntimeError
        If the module draws random numbers, reads values of tensors or calls what ``torch.vmap`` can't batch.
    """

    def loss(own: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(functional_call(module, own, (x,)), y)

    with FoldedAttention():
        losses: torch.Tensor = torch.vmap(loss)(parameters, x, y)
    return losses


class _Stack:
    """K modules and their optimisers as one; the modules' parameters become views of it."""

    def __init__(
        self, modules: Sequence[torch.nn.Module], optimizers: Sequence[torch.optim.Optimizer], recipe: Recipe
    ) -> None:
        self.module, self.recipe, self._owners = modules[0], recipe, optimizers
        self.parameters: dict[str, torch.Tensor] = {}
        self._copies: dict[torch.Tensor, tuple[torch.nn.Parameter, ...]] = {}
        for named in zip(*(module.named_parameters() for module in modules), strict=True):
            copies = tuple(parameter for _, parameter in named)
            stacked = torch.nn.Parameter(torch.stack([p.detach() for p in copies]), copies[0].requires_grad)
            for parameter, view in zip(copies, stacked.detach(), strict=True):
                parameter.data = view
            self.parameters[named[0][0]] = stacked
            self._copies[stacked] = copies
        self.optimizer = self._stacked_optimizer()
        self._lent = False
        self._norms: torch.Tensor | None = None

    def _stacked_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser of the stack; elementwise ones act on it as on each model."""
        of = {copies[0]: stacked for stacked, copies in self._copies.items()}
        optimizer: torch.optim.Optimizer = OPTIMIZERS.load(self.recipe.optimizer)(
            [
                (group["multiplier"], group["weight_decay"] > 0, [of[p] for p in group["params"]])
                for group in self._owners[0].param_groups
            ],
            self.recipe,
        )
        for stacked, copies in self._copies.items():
            states = [owner.state.get(p, {}) for owner, p in zip(self._owners, copies, strict=True)]
            for key, value in states[0].items():
                # The count of steps is the one entry that all copies have in common.
                together = value.clone() if key == "step" else torch.stack([state[key] for state in states])
                optimizer.state[stacked][key] = together
        return optimizer

    def set_rate(self, learning_rate: float) -> None:
        """Set the rate of the next step, before each group's multiplier."""
        for optimizer in (self.optimizer, *self._owners):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["multiplier"]

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Do one optimiser step on inputs and targets (K, B, …); return the losses before it, (K,)."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            losses = stacked_loss(self.module, self.parameters, x, y)
        losses.sum().backward()
        self._norms = None
        if self.recipe.gradient_clip is not None:
            gradients = [p.grad for p in self._copies if p.grad is not None]
            self._norms = clip_each(gradients, self.recipe.gradient_clip)
        self.optimizer.step()
        if not self._lent:
            self._lend_state()
        return losses.detach()

    def _lend_state(self) -> None:
        """Let the optimisers' states be views; torch's elementwise optimisers update theirs in place from here on."""
        for stacked, copies in self._copies.items():
            for index, (owner, parameter) in enumerate(zip(self._owners, copies, strict=True)):
                for key, value in self.optimizer.state.get(stacked, {}).items():
                    owner.state[parameter][key] = value if key == "step" else value[index]
        self._lent = True

    def gradient_norms(self) -> torch.Tensor:
        """Return the global norm of each model's gradients before they were clipped, (K,)."""
        if self._norms is None:
            self._norms = norms_of_each([p.grad for p in self._copies if p.grad is not None])
        return self._norms

    def dissolve(self) -> None:
        """Give each model memory of its own."""
        for copies in self._copies.values():
            for owner, parameter in zip(self._owners, copies, strict=True):
                parameter.data = parameter.data.clone()
                for key, value in owner.state.get(parameter, {}).items():
                    owner.state[parameter][key] = value.clone()


def norms_of_each(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the global norm of each model's gradients, (K, …), as (K,)."""
    norms = torch.stack([torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in gradients])
    found: torch.Tensor = torch.linalg.vector_norm(norms, dim=0)
    return found


def clip_each(gradients: Sequence[torch.Tensor], largest: float) -> torch.Tensor:
    """Scale the gradients of each model, (K, …), to a global norm of at most ``largest``, in place; return the norms.

    The formula is that of ``torch.nn.utils.clip_grad_norm_``.
    """
    norms = norms_of_each(gradients)
    factors = (largest / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *(1,) * (gradient.ndim - 1)))
    return norms
