"""The JSON Schema of a sweep file, for editors."""

from __future__ import annotations

from typing import Any

from orchestrator.spec.plugin_choice import PluginChoice
from orchestrator.spec.sections.data import Data, SourceChoice
from orchestrator.spec.sections.model import Model
from orchestrator.spec.sweep import Sweep

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the whole YAML, every registered plug-in's own keys included.

    A sweep that loads is valid; what the schema can't say (repeated points, the number of cells, students larger
    than their teachers) is left to :func:`~orchestrator.spec.load.load_sweep`.

    Raises
    ------
    BadInput
        If an installed plug-in can't be imported.
    """
    schema = Sweep.model_json_schema()
    definitions = schema["$defs"]
    for choice in (Data, Model, SourceChoice):
        definitions[choice.__name__] = _one_of_the_plugins(definitions[choice.__name__], choice, definitions)
    by_name = {"enum": SourceChoice.plugins()}
    finetune_data = definitions["Finetune"]["properties"]["data"]
    reference = {"$ref": finetune_data.pop("$ref")}
    finetune_data["anyOf"] = [by_name, reference]
    return {"$schema": _DIALECT, **schema, "title": "scalaw sweep"}


def _one_of_the_plugins(section: dict[str, Any], choice: type[PluginChoice], into: dict[str, Any]) -> dict[str, Any]:
    """Return a section as one variant a plug-in; a plug-in's own definitions are moved to ``into``."""
    ours = {key: value for key, value in section["properties"].items() if key not in ("options", choice.key)}
    default = choice.model_fields[choice.key].default
    variants = []
    for name in choice.plugins():
        own = choice.options_class(name).model_json_schema()
        into.update(own.pop("$defs", {}))
        required = own.get("required", [])
        variants.append(
            {
                "type": "object",
                "title": name,
                "properties": {choice.key: {"const": name}, **ours, **own.get("properties", {})},
                "required": required if name == default else [choice.key, *required],
                "additionalProperties": False,
            }
        )
    return {"description": section.get("description", ""), "oneOf": variants}
