"""One grid point, fully resolved, and its content id (I1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from orchestrator.planning.compressed import Compressed
from orchestrator.planning.family import ModelShape
from orchestrator.planning.finetuning import Tuning
from orchestrator.planning.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One grid point: a pretrained model, or a fine-tuned or compressed child of one.

    Parameters
    ----------
    id
        Hash of all that changes the result: shape, data, recipe, epochs, seed. Names and fractions are no part of it.
    shape
        What is built; of a child what it was made into.
    data_examples
        Unique training examples D.
    data_fraction
        The grid's fraction that gave ``data_examples``.
    epochs
        Passes E over them.
    seed
        Seed of initialisation, data order, dropout and augmentation.
    total_steps
        Optimiser steps of pretraining alone.
    recipe
        How it is pretrained.
    common
        Digest of what its stages depend on beside shape and seed: recipe, data, model options.
    parent
        The cell that it was made from: a compressed cell's uncompressed one, a fine-tuned cell's pretrained one.
    tuning
        The last fine-tuning on the way, if there is one.
    compressed
        What makes a compressed cell of its parent.
    """

    id: str
    shape: ModelShape
    data_examples: int
    data_fraction: float
    epochs: int
    seed: int
    total_steps: int
    recipe: Recipe
    common: str
    parent: Cell | None = None
    tuning: Tuning | None = None
    compressed: Compressed | None = None

    @property
    def kind(self) -> str:
        """``pretrained``, ``fine-tuned`` or ``compressed``: what was done to it last."""
        if self.compressed is not None:
            return "compressed"
        return "pretrained" if self.tuning is None else "fine-tuned"

    @property
    def root(self) -> Cell:
        """The pretrained cell at the beginning of the chain."""
        return self if self.parent is None else self.parent.root

    @property
    def steps(self) -> int:
        """Optimiser steps from initialisation to the cell, as if it were trained alone."""
        if self.parent is None:
            return self.total_steps
        if self.compressed is not None:
            return self.parent.steps + sum(step.training_steps for step in self.compressed.steps)
        assert self.tuning is not None, "a child is fine-tuned or compressed"
        return self.parent.steps + self.tuning.total_steps

    @property
    def flops(self) -> int:
        """Training FLOPs from initialisation to the cell, as if it were trained alone."""
        if self.parent is None:
            return self.total_steps * self.recipe.batch_size * self.shape.train_flops
        if self.compressed is not None:
            return self.parent.flops + sum(step.flops for step in self.compressed.steps)
        assert self.tuning is not None, "a child is fine-tuned or compressed"
        return self.parent.flops + self.tuning.total_steps * self.tuning.step_flops

    @property
    def data(self) -> str:
        """Which data it was trained on last and is scored on: ``pretrain`` or ``finetune``."""
        return "finetune" if self.tuning is not None else "pretrain"


def cell_identity(common: str, shape: str, data_examples: int, epochs: int, seed: int) -> str:
    """Return a pretrained cell's id: the SHA-256 of the canonical JSON of its coordinates.

    Parameters
    ----------
    common, shape
        Content ids of what all cells of a sweep have in common, and of the cell's shape.
    """
    text = f'{{"common":"{common}","data_examples":{data_examples},"epochs":{epochs},"seed":{seed},"shape":"{shape}"}}'
    return hashlib.sha256(text.encode()).hexdigest()
