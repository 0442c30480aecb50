"""What is planned of ``{method: distill}``: its keys, what it fits, what it leaves."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from orchestrator.errors import BadInput
from orchestrator.planning.family import Family, ModelShape
from orchestrator.spec.bounds import Params
from orchestrator.spec.compression_options import Changes, CompressionOptions
from orchestrator.spec.quantities import PositiveReal, Real
from orchestrator.spec.sections.recovery import Recovery


class DistillOptions(CompressionOptions):
    """A smaller model of the same family, taught by the cell's own."""

    student_key: ClassVar[str | None] = "student_params"

    student_params: Params = Field(description="Non-embedding parameters of the student.")
    temperature: PositiveReal = Field(default=2.0, description="Softmax temperature of teacher and student.")
    mix: Annotated[Real, Field(ge=0, le=1)] = Field(
        default=0.5, description="Weight of the teacher's targets in the loss; 0: a student that learns by itself."
    )
    recover: Recovery | None = Field(default=None, description="Further training of the student in the same schedule.")

    @property
    def level(self) -> float:
        """Non-embedding parameters of the student."""
        return float(self.student_params)

    @property
    def changes(self) -> Changes:
        """The model itself."""
        return "model"


class Distill:
    """Knowledge distillation of logits."""

    Options = DistillOptions
    training = "workers.compressors.distill.train:Distiller"

    @staticmethod
    def check(options: DistillOptions, shape: ModelShape, family: Family) -> list[str]:
        """Refuse a student as large as its teacher.

        Raises
        ------
        BadInput
            As said.
        """
        if options.student_params >= shape.params_non_embedding:
            raise BadInput(
                f"a student of {options.student_params:,} is no smaller than its teacher's "
                f"{shape.params_non_embedding:,}; take a smaller one, or leave the smallest sizes out of grid.params"
            )
        return []

    @staticmethod
    def kept_share(options: DistillOptions, before: ModelShape, after: ModelShape) -> float:
        """Return the student's share of the teacher's parameters."""
        return after.params_total / before.params_total
