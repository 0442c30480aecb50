"""Weights as products of two thin ones, by the singular value decomposition (Eckart and Young 1936).

A Linear (outputs, inputs) becomes two; a convolution becomes one of the same kernel with as many outputs as the rank,
and a 1x1 one behind it. Factors are kept only where they have fewer parameters than the weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from workers.compressors.layers import owner_of, present, replace_layer, weight_of
from workers.compressors.low_rank.factors import factorised, layers, rank_for_energy
from workers.compressors.low_rank.plan import LowRankOptions, rank_of, saves
from workers.compressors.session import Fresh, NothingHeld, Parts

if TYPE_CHECKING:
    from workers.training.loop import Loss


class LowRanker:
    """The half of :class:`~workers.compressors.low_rank.plan.LowRank` that compresses."""

    @staticmethod
    def session(module: torch.nn.Module, options: LowRankOptions, parts: Parts, steps: int, fresh: Fresh) -> Factorised:
        """Factorise at once; recovery trains the factors."""
        return Factorised(module, options, parts.weights)

    @staticmethod
    def restructure(module: torch.nn.Module, facts: dict[str, Any]) -> torch.nn.Module:
        """Return the module with two layers in the place of each factorised one."""
        for name, rank in facts["ranks"].items():
            replace_layer(module, name, layers(owner_of(module, name), rank))
        return module


class Factorised(NothingHeld):
    """A module whose layers are factorised."""

    loss: Loss | None = None
    after_step = None

    def __init__(self, module: torch.nn.Module, options: LowRankOptions, weights: list[str]) -> None:
        self.module = module
        self.ranks: dict[str, int] = {}
        full, kept = 0, 0
        for name in present(module, weights):
            weight = weight_of(module, name).flatten(1)
            outputs, inputs = weight.shape
            if options.rank_ratio is not None:
                rank = rank_of(options.rank_ratio, outputs, inputs)
            else:
                assert options.energy is not None, "validation asks for one of the two"
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
