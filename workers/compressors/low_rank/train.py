"""Weights as products of two thin ones, by the singular value decomposition (Eckart and Young 1936).

A Linear (outputs, inputs) becomes two; a convolution becomes one of the same kernel with as many outputs as the rank,
and a 1x1 one behind it. Factors are kept only where they have fewer parameters than the weight.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BadInput
from orchestrator.planning.family import Family, ModelShape
from workers.compressors.session import Fresh, Parts

if TYPE_CHECKING:
    import torch

    from workers.training.loop import Loss


class LowRanker:
    """Truncated SVD of Linear layers and convolutions."""

    @staticmethod
    def check(options: Any, shape: ModelShape, family: Family) -> list[str]:
        """Refuse a rank ratio at which no weight of the model has fewer parameters in factors.

        Raises
        ------
        BadInput
            As said.
        """
        if options.rank_ratio is None:
            return []
        weights = [(sizes[0], math.prod(sizes[1:])) for _, sizes in family.weights(shape)]
        if weights and not any(saves(rank_of(options.rank_ratio, o, i), o, i) for o, i in weights):
            raise BadInput(
                f"rank_ratio {options.rank_ratio:g} saves nothing in a model with N = {shape.params_non_embedding:,}: "
                "the factors of every weight are at least as large as the weight; lower it"
            )
        return []

    @staticmethod
    def session(module: torch.nn.Module, options: Any, parts: Parts, steps: int, fresh: Fresh) -> Factorised:
        """Factorise at once; recovery trains the factors."""
        return Factorised(module, options, parts.weights)

    @staticmethod
    def restructure(module: torch.nn.Module, facts: dict[str, Any]) -> torch.nn.Module:
        """Return the module with two layers in the place of each factorised one."""
        from workers.compressors.layers import owner_of, replace_layer
        from workers.compressors.low_rank.factors import layers

        for name, rank in facts["ranks"].items():
            replace_layer(module, name, layers(owner_of(module, name), rank))
        return module


class Factorised:
    """A module whose layers are factorised."""

    loss: Loss | None = None
    after_step = None

    def __init__(self, module: torch.nn.Module, options: Any, weights: list[str]) -> None:
        from workers.compressors.layers import owner_of, present, replace_layer, weight_of
        from workers.compressors.low_rank.factors import factorised, rank_for_energy

        self.module = module
        self.ranks: dict[str, int] = {}
        full, kept = 0, 0
        for name in present(module, weights):
            weight = weight_of(module, name).flatten(1)
            outputs, inputs = weight.shape
            if options.rank_ratio is not None:
                rank = rank_of(options.rank_ratio, outputs, inputs)
            else:
                rank = rank_for_energy(weight, options.energy)
            full += min(outputs, inputs)
            if saves(rank, outputs, inputs):
                kept += rank
                self.ranks[name] = rank
                replace_layer(module, name, factorised(owner_of(module, name), rank))
            else:
                kept += min(outputs, inputs)
        self.rank_ratio = kept / full

    def finish(self) -> dict[str, Any]:
        """Return the ranks and their share of the full ones."""
        return {"ranks": self.ranks, "rank_ratio": self.rank_ratio}


def rank_of(ratio: float, outputs: int, inputs: int) -> int:
    """Return the rank that is a share of a weight's full one, at least 1."""
    return max(1, round(ratio * min(outputs, inputs)))


def saves(rank: int, outputs: int, inputs: int) -> bool:
    """Tell whether factors of a rank have fewer parameters than a weight."""
    return rank * (outputs + inputs) < outputs * inputs
