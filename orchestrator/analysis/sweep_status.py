"""How far the sweeps of a store are, from the store alone (I4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.store import Store, open_store
from orchestrator.store.cell_row import last_line
from orchestrator.store.heartbeat import driver_at_work

#: Failures that are shown in full.
MOST_FAILURES: Final = 5


def progress_report(where: str | Store, sweep: str | None) -> dict[str, Any]:
    """Return ``{"store", "damaged", "sweeps": [{"sweep", "version", "state", "cells", "done", …, "failures"}]}``.

    What is counted was opened and read; ``damaged`` has the keys of what could not be.

    Raises
    ------
    BadInput
        If there is no store, or no such sweep in it.
    """
    store = open_store(where) if isinstance(where, str) else where
    only = store.only_sweep(sweep) if sweep is not None else None
    sweeps = store.sweeps() if only is None else {only: store.sweep(only)}
    done = store.done()
    if done and not sweeps and not store.damaged:
        raise BadInput(
            f"{store.uri} has rows of {len(done)} cells, but no record of their sweep: run it again to write one"
        )
    entries = []
    for name, document in sorted(sweeps.items()):
        status = [done.get(cell_id) for cell_id in document["cells"]]
        failures = sorted(cell_id for cell_id in document["cells"] if done.get(cell_id) == "failed")
        entries.append(
            {
                "sweep": name,
                "version": store.version(name),
                "state": _state(store, name, document, missing=status.count(None), failed=len(failures)),
                "cells": len(status),
                "done": status.count("ok"),
                "failed": len(failures),
                "missing": status.count(None),
                "failures": _failures(store.rows(failures[:MOST_FAILURES])) if failures else [],
            }
        )
    return {
        "store": where if isinstance(where, str) else where.uri,
        "damaged": store.damaged,
        "sweeps": entries,
    }


def _state(store: Store, name: str, document: Mapping[str, Any], *, missing: int, failed: int) -> str:
    if not missing:
        return "done with failures" if failed else "done"
    if "@" in name:
        return "an older version, which nothing trains any more"
    if driver_at_work(store, name):
        return "running"
    selection = document.get("selection")
    if isinstance(selection, dict) and selection.get("reached"):
        return f"done by selection: {missing} cells not chosen"
    return "incomplete: run it again to go on"


def _failures(rows: pa.Table) -> list[dict[str, str]]:
    return [{"cell_id": row["cell_id"], "error": last_line(row["error"])} for row in rows.to_pylist()]
