"""A training loop as one writes it in plain torch for one model, to measure ours against."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import SOURCES
from workers.engine import TorchEngine


class HandWritten:
    """The loop over a trunk's batches: all of them on the device before it starts, the model compiled once if at all.

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
        self.initial = {name: tensor.clone() for name, tensor in self.module.state_dict().items()}
        self.forward: Any = torch.compile(self.module) if self.recipe.compile else self.module
        task = engine.context.data["pretrain"]
        data = SOURCES.load(task.source)().load(task.options, context=task.manifest.tokens_per_example)
        order = engine.data("pretrain").order(trunk.seed)
        indices = order.indices(trunk.stream_examples, 0, most_steps * self.recipe.batch_size)
        x, y = (torch.from_numpy(array).to(self.device) for array in data.train.batch(indices))
        self.batches = [*zip(x.split(self.recipe.batch_size), y.split(self.recipe.batch_size), strict=True)]

    def train(self, steps: int) -> dict[str, np.ndarray]:
        """Return the weights after some steps from the same beginning."""
        recipe = self.recipe
        self.module.load_state_dict(self.initial)
        self.module.train()
        groups = [{"params": parameters, "rate": rate * recipe.learning_rate} for rate, _, parameters in self.groups]
        optimizer = torch.optim.AdamW(groups, betas=(recipe.beta1, recipe.beta2), weight_decay=0.0, fused=True)
        half = recipe.precision == "bf16"
        for step, (x, y) in enumerate(self.batches[:steps]):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * min(1.0, (step + 1) / recipe.warmup_steps)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                loss = F.cross_entropy(self.forward(x).flatten(0, -2), y.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), recipe.gradient_clip or float("inf"))
            optimizer.step()
        return {name: tensor.cpu().numpy() for name, tensor in self.module.state_dict().items()}
