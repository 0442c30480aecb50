"""``grid.finetune`` — a second stage of training on other data (axes d and e)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from orchestrator.spec.choices import AutoOrPositiveReal, Axis
from orchestrator.spec.data import SourceChoice
from orchestrator.spec.options import Options
from orchestrator.spec.quantities import PositiveCount


class FinetuneData(SourceChoice):
    """The data of the second stage; ``c-headers`` (the C headers of this machine) stands only here."""

    also: ClassVar[Mapping[str, type[Options]]] = {"c-headers": Options}


def _by_name(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class Finetune(Options):
    """Each pretrained cell is trained on for every number of examples and epochs given here."""

    data: Annotated[FinetuneData, BeforeValidator(_by_name)] = Field(
        description="Name of the data source, or a mapping with its own keys: {source: text, paths: [FOLDER]}."
    )
    examples: Annotated[tuple[PositiveCount, ...], Axis()] = Field(description="Training examples (d).")
    epochs: Annotated[tuple[PositiveCount, ...], Axis()] = Field(default=(1,), description="Passes over them (e).")
    learning_rate: AutoOrPositiveReal = Field(default="auto", description="Peak rate; auto: the family's rule.")
