"""``grid.finetune`` — a second stage of training on other data (axes d and e)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from orchestrator.spec.bounds import AutoOrBatchSize, Epochs, Examples, WarmupSteps
from orchestrator.spec.choices import AutoOrPositiveReal, Axis
from orchestrator.spec.options import Options
from orchestrator.spec.sections.data import SourceChoice


def _by_name(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class Finetune(Options):
    """Each pretrained cell is trained on for every number of examples and epochs given here."""

    data: Annotated[SourceChoice, BeforeValidator(_by_name)] = Field(
        description="Name of the data source, or a mapping with its own keys: {source: text, paths: [FOLDER]}."
    )
    examples: Annotated[tuple[Examples, ...], Axis()] = Field(description="Training examples (d).")
    epochs: Annotated[tuple[Epochs, ...], Axis()] = Field(default=(1,), description="Passes over them (e).")
    learning_rate: AutoOrPositiveReal = Field(default="auto", description="Peak rate; auto: half of pretraining's.")
    batch_size: AutoOrBatchSize = Field(default="auto", description="Examples a step; auto: as in pretraining.")
    warmup_steps: WarmupSteps = Field(default=0, description="Steps of linear warmup.")
    freeze: Literal["nothing", "body"] = Field(default="nothing", description="body: only the head is trained.")
    head: Literal["auto", "keep", "new"] = Field(
        default="auto",
        description="Output layer: kept, or new from initialisation; auto: new for images.",
    )
