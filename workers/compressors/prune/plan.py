"""What is planned of ``{method: prune}``: its keys and patterns, what it fits, what it leaves."""

from __future__ import annotations

import math
import re
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from orchestrator.errors import BadInput
from orchestrator.planning.family import Family, ModelShape
from orchestrator.spec.compression_options import Changes, CompressionOptions
from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.quantities import OpenFraction
from orchestrator.spec.validation_errors import Complaint
from workers.compressors.prune.units import density_left, shortfall

_NAMED = ("unstructured", "per_layer", "structured")
_N_OF_M = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})", re.ASCII)


class PruneOptions(CompressionOptions):
    """Weights set to zero.

    ``density`` is the share of weights that is kept. ``pattern`` says which may go: the smallest of the whole model
    (``unstructured``), of each layer (``per_layer``), whole rows (``structured``), or all but n of every m neighbours
    (``2:4``), which fixes the density to n/m.
    """

    density: OpenFraction | None = Field(default=None, description="Share of the weights that is kept.")
    pattern: str = Field(
        default="unstructured",
        description="unstructured, per_layer, structured, or n of every m weights, such as 2:4.",
        json_schema_extra={"pattern": f"^({'|'.join(_NAMED)}|{_N_OF_M.pattern})$"},
    )
    gradual: bool = Field(
        default=False, description="Whether weights go little by little during the recovery, instead of before it."
    )

    @property
    def level(self) -> float | None:
        """Share of the weights that is kept."""
        return self.density

    @property
    def kept(self) -> float:
        """``density``, which validation has filled in or asked for."""
        assert self.density is not None
        return self.density

    @property
    def changes(self) -> Changes:
        """Whole units, or zeros among the weights."""
        return "units" if self.pattern == "structured" else "zeros"

    @field_validator("pattern")
    @classmethod
    def _known_pattern(cls, pattern: str) -> str:
        share = _share(pattern)
        if share is not None and share >= 1:
            raise ValueError(f"{pattern} keeps every weight; n must be smaller than m, as in 2:4")
        if share is None and pattern not in _NAMED:
            raise ValueError(f"unknown pattern {pattern[:40]!r}; {suggestion(pattern, (*_NAMED, '2:4'), 'one of')}")
        return pattern

    @classmethod
    def arranged(cls, value: dict[str, Any]) -> tuple[dict[str, Any], list[Complaint]]:
        """Fill in the density that an n:m pattern fixes."""
        share = _share(value.get("pattern"))
        return ({"density": share, **value} if share is not None and share < 1 else value), []

    @model_validator(mode="after")
    def _density_agrees(self) -> Self:
        share = _share(self.pattern)
        if self.density is None:
            raise ValueError("needs density, the share of the weights that is kept; for example density: 0.5")
        if self.gradual and (self.recover is None or share is not None or self.pattern == "structured"):
            raise ValueError("gradual needs recover, and pattern unstructured or per_layer; for example {steps: 100}")
        if share is not None and abs(self.density - share) > 1e-6:
            raise ValueError(f"pattern {self.pattern} keeps {share:g}, not {self.density:g}; leave density out")
        return self


class Prune:
    """Magnitude pruning."""

    Options = PruneOptions
    training = "workers.compressors.prune.train:Pruner"

    @staticmethod
    def check(options: PruneOptions, shape: ModelShape, family: Family) -> list[str]:
        """Refuse n:m patterns that don't divide a weight's inputs, and densities that leave nothing.

        Returns a sentence where whole units can't come near the density.

        Raises
        ------
        BadInput
            As said.
        """
        pattern = n_of_m(options.pattern)
        for name, sizes in family.weights(shape):
            inputs = math.prod(sizes[1:])
            if pattern is not None and inputs % pattern[1]:
                raise BadInput(
                    f"pattern {options.pattern}: {name} has {inputs} inputs where N = {shape.params_non_embedding:,}, "
                    f"no multiple of {pattern[1]}; take another pattern, or leave that size out of grid.params"
                )
            if round(options.kept * math.prod(sizes)) < 1:
                raise BadInput(f"density {options.kept:g} leaves no weight of {name}; raise it")
        if options.pattern != "structured":
            return []
        left = density_left(options.kept, family.weights(shape), family.unit_groups(shape))
        return shortfall(options.kept, left, f" where N = {shape.params_non_embedding:,}")

    @staticmethod
    def kept_share(options: PruneOptions, before: ModelShape, after: ModelShape) -> float:
        """Return the density."""
        return options.kept


def n_of_m(pattern: str) -> tuple[int, int] | None:
    """Return n and m of a pattern such as ``2:4``, ``None`` for any other."""
    kept = _N_OF_M.fullmatch(pattern)
    return (int(kept[1]), int(kept[2])) if kept else None


def _share(pattern: object) -> float | None:
    """Return n/m of an n:m pattern, ``None`` for any other value."""
    kept = n_of_m(pattern) if isinstance(pattern, str) else None
    return kept[0] / kept[1] if kept else None
