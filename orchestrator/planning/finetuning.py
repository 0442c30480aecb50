"""The second training of a model, on other data (axes d and e)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.planning.family import ModelShape
from orchestrator.planning.recipe import Recipe

#: Peak rate of fine-tuning as a share of pretraining's, where the sweep leaves it at ``auto``.
AUTO_RATE_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a cell is fine-tuned.

    Parameters
    ----------
    examples, epochs
        Unique examples d and passes e over them.
    total_steps
        Optimiser steps.
    recipe
        How it is trained.
    shape
        The model that is trained: the pretrained one, with as many outputs as the new data has classes.
    frozen
        ``nothing``, or ``body``: all but the head.
    new_head
        Whether the head starts from initialisation.
    content
        Digest of all that its result depends on beside the parent's state, ``examples`` and ``epochs``.
    """

    examples: int
    epochs: int
    total_steps: int
    recipe: Recipe
    shape: ModelShape
    frozen: Literal["nothing", "body"]
    new_head: bool
    content: str

    @property
    def example_flops(self) -> int:
        """Training FLOPs of an example: of a frozen body the forward pass alone."""
        if self.frozen == "nothing":
            return self.shape.train_flops
        return self.shape.forward_flops + self.shape.head_flops

    @property
    def step_flops(self) -> int:
        """Training FLOPs of an optimiser step."""
        return self.recipe.batch_size * self.example_flops
