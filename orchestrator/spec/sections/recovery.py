"""``recover:`` — training after a compression, to win back what it lost."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from orchestrator.spec.bounds import PartEpochs, Steps
from orchestrator.spec.options import Options


class Recovery(Options):
    """How long to train after compressing: epochs of the cell's own data, or optimizer steps."""

    epochs: PartEpochs | None = Field(default=None, description="Epochs of the cell's own data.")
    steps: Steps | None = Field(default=None, description="Optimizer steps.")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("needs either epochs or steps, and not both; write {steps: 100} or {epochs: 0.1}")
        return self
