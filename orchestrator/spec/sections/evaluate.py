"""``evaluate:`` — what trained language models are asked beside their loss."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import PositiveCount
from orchestrator.spec.registries import METRICS


class EvaluateTask(Options):
    """One task: a file of questions, or questions made of the data's validation split."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="What its scores are called."
    )
    kind: str = Field(description="How it is asked: `multiple_choice`, `perplexity`, `exact_match`.")
    path: str | None = Field(
        default=None, description="JSON lines, one question each; made of the validation split where it is left out."
    )
    items: PositiveCount = Field(default=500, le=1_000_000, description="Most questions that are asked.")

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        if kind not in METRICS:
            raise ValueError(f"unknown kind of task {kind[:40]!r}; {suggestion(kind, METRICS.names())}")
        return kind
