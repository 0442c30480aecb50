"""``data:`` — what is learned from, and how much of it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from orchestrator.spec.bounds import Examples
from orchestrator.spec.plugin_choice import PluginChoice
from orchestrator.spec.registries import SOURCES, Registry

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class SourceChoice(PluginChoice):
    """A data source by name, with its own keys beside it."""

    registry: ClassVar[Registry] = SOURCES
    key: ClassVar[str] = "source"

    source: str = Field(description="Name of the data source.")
    name: Annotated[str, Field(pattern=NAME_PATTERN)] | None = Field(
        default=None, description="What rows call the data (`task`); left out: the name of the source."
    )

    @field_validator("source")
    @classmethod
    def _known_source(cls, name: str) -> str:
        if name.startswith("hf:"):
            raise ValueError(
                f"{name[:40]!r} can't be loaded, Hugging Face data sets aren't read yet; "
                "export it to text files and use {source: text, paths: [FOLDER]}"
            )
        return cls.known_name(name)

    def flat(self) -> dict[str, Any]:
        """Return the mapping as the YAML has it, defaults filled in but for a name that was not given."""
        return {key: value for key, value in super().flat().items() if key != "name" or value is not None}


class Data(SourceChoice):
    """The pretraining data. One *example* is what the source counts: an image, a text or a context window."""

    source: str = Field(default="python-stdlib", description="Name of the data source.")
    max_examples: Examples | None = Field(
        default=None, description="Training examples that `data_fraction: 1.0` means; all of them where it is left out."
    )
    eval_examples: Examples = Field(default=1024, description="Most validation and most test examples that are scored.")
