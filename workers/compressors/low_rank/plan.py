"""What is planned of ``{method: low_rank}``: its keys, what it fits, what it leaves."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from orchestrator.errors import BadInput
from orchestrator.planning.family import Family, ModelShape
from orchestrator.spec.compression_options import Changes, CompressionOptions
from orchestrator.spec.quantities import OpenFraction


class LowRankOptions(CompressionOptions):
    """Weight matrices as products of two thin ones; the rank is a share of the full one, or what the energy asks."""

    rank_ratio: OpenFraction | None = Field(default=None, description="Rank kept, as a share of the full rank.")
    energy: OpenFraction | None = Field(default=None, description="Share of the squared singular values that is kept.")

    @property
    def level(self) -> float | None:
        """Share of the full rank; ``None`` where the energy decides."""
        return self.rank_ratio

    @property
    def changes(self) -> Changes:
        """Layers into factors."""
        return "factors"

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.rank_ratio is None) == (self.energy is None):
            raise ValueError("needs either rank_ratio or energy, and not both; for example rank_ratio: 0.5")
        return self


class LowRank:
    """Truncated SVD of Linear layers and convolutions."""

    Options = LowRankOptions
    training = "workers.compressors.low_rank.train:LowRanker"

    @staticmethod
    def check(options: LowRankOptions, shape: ModelShape, family: Family) -> list[str]:
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
    def kept_share(options: LowRankOptions, before: ModelShape, after: ModelShape) -> float:
        """Return the share of the rank; an energy stands for a rank of as much."""
        kept = options.energy if options.rank_ratio is None else options.rank_ratio
        assert kept is not None, "validation asks for one of the two"
        return kept


def rank_of(ratio: float, outputs: int, inputs: int) -> int:
    """Return the rank that is a share of a weight's full one, at least 1."""
    return max(1, round(ratio * min(outputs, inputs)))


def saves(rank: int, outputs: int, inputs: int) -> bool:
    """Tell whether factors of a rank have fewer parameters than a weight."""
    return rank * (outputs + inputs) < outputs * inputs
