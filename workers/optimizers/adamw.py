"""AdamW (Loshchilov and Hutter 2019)."""

from __future__ import annotations

import torch

from orchestrator.planning.recipe import Recipe
from workers.optimizers.groups import Groups, torch_groups


def build(groups: Groups, recipe: Recipe) -> torch.optim.Optimizer:
    """Return torch's fused AdamW; fused and unfused differ in their last bits, so it is fused everywhere."""
    return torch.optim.AdamW(
        torch_groups(groups, recipe.weight_decay),
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        fused=True,
    )
