"""Rows and fits on disk or in a bucket: immutable Parquet parts, committed exactly once (I2, I4, I5).

Names load on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.store.sql import query
    from orchestrator.store.store import Store, open_store

__all__ = ["Store", "open_store", "query"]

_HOME = {"Store": "store", "open_store": "store", "query": "sql"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
