"""One grid point, fully resolved, and its content id (I1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from orchestrator.planning.family import ModelShape
from orchestrator.planning.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One grid point.

    Parameters
    ----------
    id
        Hash of all that changes the result: shape, data, recipe, epochs, seed. Names and fractions are no part of it.
    shape
        What is built.
    data_examples
        Unique training examples D.
    data_fraction
        The grid's fraction that gave ``data_examples``.
    epochs
        Passes E over them.
    seed
        Seed of initialisation, data order, dropout and augmentation.
    total_steps
        Optimiser steps of the cell trained alone.
    recipe
        How it is trained.
    common
        Digest of what its stages depend on beside shape and seed: recipe, data, model options.
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


def cell_identity(common: str, shape: str, data_examples: int, epochs: int, seed: int) -> str:
    """Return a cell's id: the SHA-256 of the canonical JSON of its coordinates.

    Parameters
    ----------
    common, shape
        Content ids of what all cells of a sweep have in common, and of the cell's shape.
    """
    text = f'{{"common":"{common}","data_examples":{data_examples},"epochs":{epochs},"seed":{seed},"shape":"{shape}"}}'
    return hashlib.sha256(text.encode()).hexdigest()
