"""Scaling laws fitted to tables of runs, with intervals, held-out error and honest words about what can't be told."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.fitting.estimate import fit
    from orchestrator.fitting.report import fit_rows, report_json
    from orchestrator.fitting.result import FitReport, LawFit
    from orchestrator.fitting.rows import axes_from_rows, recipes_in
    from orchestrator.fitting.tables import map_columns, parse_map, read_table

__all__ = [
    "FitReport",
    "LawFit",
    "axes_from_rows",
    "fit",
    "fit_rows",
    "map_columns",
    "parse_map",
    "read_table",
    "recipes_in",
    "report_json",
]

_MODULES = {
    "FitReport": "result",
    "LawFit": "result",
    "axes_from_rows": "rows",
    "recipes_in": "rows",
    "fit": "estimate",
    "fit_rows": "report",
    "map_columns": "tables",
    "parse_map": "tables",
    "read_table": "tables",
    "report_json": "report",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
