"""A training loop as one writes it in plain torch for one model, to measure ours against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import SOURCES
from workers.engine import TorchEngine


class HandWritten:
    """The loop over a trunk's batches: all of them on the device before it starts, model and loss compiled if at all.

    Parameters
    ----------
    engine
        Says what the initial weights, the recipe and the order of the data are; it trains nothing.
    trunk
        Stage from initialisation, under a schedule whose rate is constant after the warmup.
    most_steps
        Steps for which batches are loaded.
    """

    def __init__(self, engine: TorchEngine, trunk: Stage, most_steps: int) -> None:
        self.recipe, self.device = trunk.recipe, engine.device
        self.module = engine.build(trunk)
        self.groups = engine.family.parameter_groups(self.module, trunk.shape)
        self.loss: Any = self._loss
        if self.recipe.compile:
            self.loss = torch.compile(self._loss, mode="reduce-overhead" if self.recipe.compile == "graphs" else None)
        task = engine.context.data["pretrain"]
        data = SOURCES.load(task.source)().load(task.options, context=task.manifest.tokens_per_example)
        indices = (
            engine.data("pretrain")
            .order(trunk.seed)
            .indices(trunk.stream_examples, 0, most_steps * self.recipe.batch_size)
        )
        x, y = (torch.from_numpy(array).to(self.device) for array in data.train.batch(indices))
        self.batches = [*zip(x.split(self.recipe.batch_size), y.split(self.recipe.batch_size), strict=True)]

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.module(x).flatten(0, -2), y.flatten())

    def train(self, steps: int, after_step: Callable[[int], None]) -> float:
        """Train; return the last loss."""
        recipe = self.recipe
        self.module.train()
        groups = [{"params": parameters, "rate": rate * recipe.learning_rate} for rate, _, parameters in self.groups]
        optimizer = torch.optim.AdamW(groups, betas=(recipe.beta1, recipe.beta2), weight_decay=0.0, fused=True)
        half = recipe.precision == "bf16"
        for step, (x, y) in enumerate(self.batches[:steps]):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * min(1.0, (step + 1) / recipe.warmup_steps)
            optimizer.zero_grad(set_to_none=True)
            if recipe.compile == "graphs":
                torch.compiler.cudagraph_mark_step_begin()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                loss = self.loss(x, y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), recipe.gradient_clip or float("inf"))
            optimizer.step()
            after_step(step + 1)
        return float(loss.detach())
