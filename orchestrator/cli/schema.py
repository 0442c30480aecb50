"""``scalaw schema``: the JSON Schema of a sweep, for editors."""

from __future__ import annotations

from orchestrator.cli.output import Json, emit_json

NAME = "schema"


def command(json_: Json = False) -> None:
    """Print the JSON Schema of the sweep YAML (always JSON).

    Example: scalaw schema > sweep.schema.json
    """
    from orchestrator.spec import json_schema

    emit_json(json_schema())
