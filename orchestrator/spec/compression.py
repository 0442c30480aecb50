"""``grid.compression`` — ways to make a trained model smaller; one class a method, so that errors are precise."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from orchestrator.spec.choices import Axis
from orchestrator.spec.options import Options
from orchestrator.spec.prune import Prune
from orchestrator.spec.quantities import Count, OpenFraction, PositiveCount, PositiveReal, Real
from orchestrator.spec.recovery import Recovery

_BITS = (2, 3, 4, 8)


class Quantize(Options):
    """Weights in fewer bits."""

    method: Literal["quantize"]
    bits: Count = Field(description="Bits a weight: 2, 3, 4 or 8.")
    recover: Recovery | None = None

    @field_validator("bits")
    @classmethod
    def _known_width(cls, bits: int) -> int:
        if bits not in _BITS:
            raise ValueError(f"can't be {bits}; one of: {', '.join(map(str, _BITS))}")
        return bits


class LowRank(Options):
    """Weight matrices as products of two thin ones; the rank is a share of the full one, or what the energy asks."""

    method: Literal["low_rank"]
    rank_ratio: OpenFraction | None = Field(default=None, description="Rank kept, as a share of the full rank.")
    energy: OpenFraction | None = Field(default=None, description="Share of the squared singular values that is kept.")
    recover: Recovery | None = None

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.rank_ratio is None) == (self.energy is None):
            raise ValueError("needs either rank_ratio or energy, and not both; for example rank_ratio: 0.5")
        return self


class Distill(Options):
    """A smaller model of the same family, taught by the cell's own."""

    method: Literal["distill"]
    student_params: PositiveCount = Field(description="Non-embedding parameters of the student.")
    temperature: PositiveReal = Field(default=2.0, description="Softmax temperature of teacher and student.")
    mix: Annotated[Real, Field(ge=0, le=1)] = Field(
        default=0.5, description="Weight of the teacher's targets in the loss."
    )
    recover: Recovery | None = None


Step = Annotated[Quantize | Prune | LowRank | Distill, Field(discriminator="method")]


class Chain(Options):
    """Several compressions, one after the other."""

    method: Literal["chain"]
    steps: tuple[Step, ...] = Field(description="At least two compressions; no chain in a chain.")
    recover: Recovery | None = None

    @field_validator("steps")
    @classmethod
    def _several(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        if len(steps) < 2:
            raise ValueError(f"a chain of {len(steps)}; give at least two steps, or the one method without a chain")
        return steps


Compression = Annotated[Quantize | Prune | LowRank | Distill | Chain, Field(discriminator="method")]
Compressions = Annotated[tuple[Compression, ...], Axis()]


def students(compression: Compression) -> list[tuple[tuple[str | int, ...], int]]:
    """Return the students' sizes in a compression, each with its key path inside it."""
    if isinstance(compression, Distill):
        return [(("student_params",), compression.student_params)]
    if isinstance(compression, Chain):
        return [
            (("steps", i, *path), size) for i, step in enumerate(compression.steps) for path, size in students(step)
        ]
    return []
