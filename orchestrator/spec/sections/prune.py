"""``{method: prune}`` and its patterns."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import OpenFraction
from orchestrator.spec.sections.recovery import Recovery
from orchestrator.spec.validation_errors import Complaint

_NAMED = ("unstructured", "per_layer", "structured")
_N_OF_M = re.compile(r"([1-9]\d{0,3}):([1-9]\d{0,3})", re.ASCII)


class Prune(Options):
    """Weights set to zero.

    ``density`` is the share of weights that is kept. ``pattern`` says which may go: the smallest of the whole model
    (``unstructured``), of each layer (``per_layer``), whole rows (``structured``), or all but n of every m neighbours
    (``2:4``), which fixes the density to n/m.
    """

    method: Literal["prune"]
    density: OpenFraction | None = Field(default=None, description="Share of the weights that is kept.")
    pattern: str = Field(
        default="unstructured",
        description="unstructured, per_layer, structured, or n of every m weights, such as 2:4.",
        json_schema_extra={"pattern": f"^({'|'.join(_NAMED)}|{_N_OF_M.pattern})$"},
    )
    gradual: bool = Field(
        default=False, description="Whether weights go little by little during the recovery, instead of before it."
    )
    recover: Recovery | None = None

    @property
    def level(self) -> float | None:
        """Share of the weights that is kept."""
        return self.density

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


def n_of_m(pattern: str) -> tuple[int, int] | None:
    """Return n and m of a pattern such as ``2:4``, ``None`` for any other."""
    kept = _N_OF_M.fullmatch(pattern)
    return (int(kept[1]), int(kept[2])) if kept else None


def _share(pattern: object) -> float | None:
    """Return n/m of an n:m pattern, ``None`` for any other value."""
    kept = n_of_m(pattern) if isinstance(pattern, str) else None
    return kept[0] / kept[1] if kept else None
