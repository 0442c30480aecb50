"""From a store or a table to an answer, without Ray or torch: inputs, fits, predictions, optima, status.

Names load on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.analysis.answers import optimal, predict, status
    from orchestrator.analysis.fit_store import Answer, answer

__all__ = ["Answer", "answer", "optimal", "predict", "status"]

_HOME = {
    "Answer": "fit_store",
    "answer": "fit_store",
    "optimal": "answers",
    "predict": "answers",
    "status": "answers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
