"""Scaling laws fitted to tables of runs, with intervals, held-out error and honest words about what can't be told."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.fitting.estimate import fit
    from orchestrator.fitting.report import fit_rows, report_json
    from orchestrator.fitting.result import FitReport, LawFit

__all__ = [
    "FitReport",
    "LawFit",
    "fit",
    "fit_rows",
    "report_json",
]

_MODULES = {
    "FitReport": "result",
    "LawFit": "result",
    "fit": "estimate",
    "fit_rows": "report",
    "report_json": "report",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
