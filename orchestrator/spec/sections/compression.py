"""``grid.compression`` — ways to make a trained model smaller; one class a method, so that errors are precise."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from orchestrator.spec.choices import Axis
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import Count, OpenFraction, PositiveCount, PositiveReal, Real
from orchestrator.spec.sections.prune import Prune
from orchestrator.spec.sections.recovery import Recovery

_BITS = (2, 3, 4, 8)


class Quantize(Options):
    """Weights in fewer bits."""

    method: Literal["quantize"]
    bits: Count = Field(description="Bits a weight: 2, 3, 4 or 8.")
    activations: Literal["float", "int8"] = Field(
        default="float", description="int8: activations too, each row scaled as it comes; with 8 bits only."
    )
    recover: Recovery | None = None

    @property
    def level(self) -> float:
        """Bits a weight."""
        return float(self.bits)

    @model_validator(mode="after")
    def _dynamic_has_8_bits(self) -> Self:
        if self.activations == "int8" and self.bits != 8:
            raise ValueError(f"activations: int8 needs bits: 8, not {self.bits}; leave activations out")
        return self

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

    @property
    def level(self) -> float | None:
        """Share of the full rank; ``None`` where the energy decides."""
        return self.rank_ratio

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
        default=0.5, description="Weight of the teacher's targets in the loss; 0: a student that learns by itself."
    )
    recover: Recovery | None = Field(default=None, description="Further training of the student in the same schedule.")

    @property
    def level(self) -> float:
        """Non-embedding parameters of the student."""
        return float(self.student_params)


Step = Annotated[Quantize | Prune | LowRank | Distill, Field(discriminator="method")]


def _place(step: Step) -> int:
    if isinstance(step, Prune):
        return 1 if step.pattern == "structured" else 3
    return {"distill": 0, "low_rank": 2, "quantize": 4}[step.method]


class Chain(Options):
    """Several compressions, one after the other."""

    method: Literal["chain"]
    steps: tuple[Step, ...] = Field(description="At least two compressions; no chain in a chain.")
    recover: Recovery | None = None

    @property
    def level(self) -> None:
        """A chain has none."""
        return None

    @model_validator(mode="after")
    def _one_last_recovery(self) -> Self:
        if self.recover is not None and self.steps[-1].recover is not None:
            raise ValueError("recover stands both at the chain and at its last step; keep one of the two")
        return self

    @model_validator(mode="after")
    def _in_an_order_that_keeps_what_was_won(self) -> Self:
        for first, second in pairwise(self.steps):
            if _place(first) >= _place(second):
                raise ValueError(
                    f"{first.method} before {second.method} would be undone or done twice; the order is: "
                    "distill, prune structured, low_rank, prune, quantize"
                )
        return self

    @field_validator("steps")
    @classmethod
    def _several(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        if len(steps) < 2:
            raise ValueError(f"a chain of {len(steps)}; give at least two steps, or the one method without a chain")
        return steps


Compression = Annotated[Quantize | Prune | LowRank | Distill | Chain, Field(discriminator="method")]
Compressions = Annotated[tuple[Compression, ...], Axis()]


def chained(compression: Compression) -> tuple[Step, ...]:
    """Return the steps of a compression; the recovery of a chain follows its last step."""
    if not isinstance(compression, Chain):
        return (compression,)
    *first, last = compression.steps
    if compression.recover is not None:
        last = last.model_copy(update={"recover": compression.recover})
    return (*first, last)


def label_of(compression: Compression) -> str:
    """Return what a compression does in a few words: ``prune 0.5 structured + 16 steps, quantize 4``."""
    return ", ".join(_step_label(step) for step in chained(compression))


def _step_label(step: Step) -> str:
    words: list[str] = [step.method]
    skipped = {"method", "recover"}
    for name, value in step.model_dump(exclude=skipped, exclude_defaults=True).items():
        words.append(f"{value:g}" if isinstance(value, float) else name if value is True else str(value))
    if step.recover is not None:
        length = step.recover
        words.append(f"+ {length.steps} steps" if length.steps is not None else f"+ {length.epochs:g} epochs")
    return " ".join(words)


def students(compression: Compression) -> list[tuple[tuple[str | int, ...], int]]:
    """Return the students' sizes in a compression, each with its key path inside it."""
    if isinstance(compression, Distill):
        return [(("student_params",), compression.student_params)]
    if isinstance(compression, Chain):
        return [
            (("steps", i, *path), size) for i, step in enumerate(compression.steps) for path, size in students(step)
        ]
    return []
