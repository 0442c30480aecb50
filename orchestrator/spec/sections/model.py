"""``model:`` — the family whose sizes the grid runs through."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from orchestrator.spec.plugin_choice import PluginChoice
from orchestrator.spec.registries import FAMILIES, Registry


class Model(PluginChoice):
    """A model family by name, with its own keys beside it."""

    registry: ClassVar[Registry] = FAMILIES
    key: ClassVar[str] = "family"

    family: str = Field(default="transformer", description="Name of the model family.")

    @field_validator("family")
    @classmethod
    def _known_family(cls, name: str) -> str:
        return cls.known_name(name)
