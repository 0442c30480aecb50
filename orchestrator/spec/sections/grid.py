"""``grid:`` — the axes whose product are the cells."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from orchestrator.spec.bounds import Epochs, Params, Seeds
from orchestrator.spec.choices import Axis
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import Fraction
from orchestrator.spec.sections.compression import Compressions, students
from orchestrator.spec.sections.finetune import Finetune
from orchestrator.spec.sections.train import Train
from orchestrator.spec.validation_errors import Complaint, refusal

MAX_CELLS = 1_000_000


class Grid(Options):
    """The axes of a sweep. Every axis takes one value or a list of distinct ones."""

    params: Annotated[tuple[Params, ...], Axis()] = Field(
        description="Non-embedding parameters (N); the nearest buildable model is taken and its counted N fitted."
    )
    data_fraction: Annotated[tuple[Fraction, ...], Axis()] = Field(
        default=(1.0,), description="Shares of the training examples (D), each a prefix of the same fixed order."
    )
    epochs: Annotated[tuple[Epochs, ...], Axis()] = Field(default=(1,), description="Passes over the data (E).")
    finetune: Finetune | None = Field(
        default=None, description="A second stage on other data (d, e); none if left out."
    )
    compression: Compressions = Field(default=(), description="Compressed variants beside the uncompressed cell (ε).")
    recipes: tuple[Train, ...] = Field(
        default=(),
        min_length=1,
        description="Changes to `train:`, one mapping a recipe; {} is `train:` itself.",
    )
    seeds: Seeds = Field(default=1, description="Repeats of the whole grid, with seeds derived from `seed`.")

    @property
    def cells(self) -> int:
        """Cells in the grid: pretrained and fine-tuned ones, and the compressed variants of the last in each chain."""
        variants = 1 + len(self.compression)
        if self.finetune is not None:
            variants = 1 + len(self.finetune.examples) * len(self.finetune.epochs) * variants
        points = len(self.params) * len(self.data_fraction) * len(self.epochs) * max(1, len(self.recipes))
        return points * variants * self.seeds

    @model_validator(mode="after")
    def _possible(self) -> Self:
        found = []
        if self.cells > MAX_CELLS:
            found.append(Complaint((), f"makes {self.cells:,} cells, more than {MAX_CELLS:,}; shorten an axis"))
        largest = max(self.params)
        for i, compression in enumerate(self.compression):
            for path, size in students(compression):
                if size > largest:
                    sentence = f"a student of {size:,} is larger than every teacher in grid.params; at most {largest:,}"
                    found.append(Complaint(("compression", i, *path), sentence))
        for i, recipe in enumerate(self.recipes):
            if "eval_every" in recipe.model_fields_set:
                sentence = "is one figure for the whole sweep, as it changes no cell; write it under train"
                found.append(Complaint(("recipes", i, "eval_every"), sentence))
        if found:
            raise refusal(found)
        return self
