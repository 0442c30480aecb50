"""How far the sweeps of a store are, from the store alone (I4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.store import Store, open_store
from orchestrator.store.heartbeat import driver_at_work

#: Failures that are shown in full.
MOST_FAILURES: Final = 5


def progress_report(where: str | Store, sweep: str | None) -> dict[str, Any]:
    """Return ``{"store", "sweeps": [{"sweep", "state", "cells", "done", "failed", "missing", "failures"}]}``.

    Raises
    ------
    BadInput
        If there is no store, or no such sweep in it.
    """
    store = open_store(where) if isinstance(where, str) else where
    sweeps = store.sweeps() if sweep is None else {sweep: store.sweep(sweep)}
    done = store.done()
    if done and not sweeps:
        raise BadInput(
            f"{store.uri} has rows of {len(done)} cells, but no record of their sweep: run it again to write one"
        )
    entries = []
    for name, document in sorted(sweeps.items()):
        status = [done.get(cell_id) for cell_id in document["cells"]]
        failed = status.count("failed")
        entries.append(
            {
                "sweep": name,
                "state": _state(store, name, document, missing=status.count(None), failed=failed),
                "cells": len(status),
                "done": status.count("ok"),
                "failed": failed,
                "missing": status.count(None),
                "failures": _failures(store.results(name)) if failed else [],
            }
        )
    return {"store": where if isinstance(where, str) else where.uri, "sweeps": entries}


def _state(store: Store, name: str, document: Mapping[str, Any], *, missing: int, failed: int) -> str:
    if not missing:
        return "done with failures" if failed else "done"
    if driver_at_work(store, name):
        return "running"
    selection = document.get("selection")
    if isinstance(selection, dict) and selection.get("reached"):
        return f"done by selection: {missing} cells not chosen"
    return "incomplete: run it again to go on"


def _failures(rows: pa.Table) -> list[dict[str, str]]:
    failed = [row for row in rows.to_pylist() if row["status"] == "failed"]
    return [
        {"cell_id": row["cell_id"], "error": (row["error"] or "").strip().rpartition("\n")[2] or "no reason is known"}
        for row in failed[:MOST_FAILURES]
    ]
