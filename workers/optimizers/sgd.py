"""Stochastic gradient descent with momentum."""

from __future__ import annotations

import torch

from orchestrator.planning.recipe import Recipe
from workers.optimizers.groups import Groups, torch_groups


def build(groups: Groups, recipe: Recipe) -> torch.optim.Optimizer:
    """Return torch's SGD with momentum, fused everywhere for the same reason as AdamW."""
    return torch.optim.SGD(
        torch_groups(groups, recipe.weight_decay), lr=recipe.learning_rate, momentum=recipe.momentum, fused=True
    )
