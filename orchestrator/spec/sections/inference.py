"""``inference:`` — how fast and how large a finished model is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from orchestrator.spec.options import Options


class Inference(Options):
    """Every cell's model is timed on its worker unless this turns it off."""

    measure: bool = Field(default=True, description="Whether latency, throughput and peak memory are measured.")
    backend: Literal["eager", "compile", "export"] = Field(
        default="eager",
        description="What runs the model: torch as it is, torch.compile, or an AOTInductor package.",
    )
