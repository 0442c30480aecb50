"""scalaw: scaling-law sweeps on Ray, from one YAML to exponents with intervals.

The command line's verbs as functions; each loads what it needs when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.execution.run import run_sweep
    from orchestrator.fitting import fit
    from orchestrator.planning import make_plan
    from orchestrator.spec import load_sweep
    from orchestrator.store import open_store

__all__ = ["__version__", "fit", "load_sweep", "make_plan", "open_store", "run_sweep"]

__version__ = "0.1.0"

_HOME = {
    "fit": "orchestrator.fitting",
    "load_sweep": "orchestrator.spec",
    "make_plan": "orchestrator.planning",
    "open_store": "orchestrator.store",
    "run_sweep": "orchestrator.execution.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
