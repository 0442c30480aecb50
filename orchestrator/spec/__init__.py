"""The sweep YAML and its errors.

Names are loaded when they are first used: pydantic takes longer to import than everything else here together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.spec.load import load_sweep, parse_sweep
    from orchestrator.spec.schema import json_schema
    from orchestrator.spec.starter import starter_sweep
    from orchestrator.spec.sweep import Sweep

__all__ = ["Sweep", "json_schema", "load_sweep", "parse_sweep", "starter_sweep"]

_HOME = {
    "Sweep": "sweep",
    "json_schema": "schema",
    "load_sweep": "load",
    "parse_sweep": "load",
    "starter_sweep": "starter",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
