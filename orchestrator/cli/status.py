"""``scalaw status``: how far the sweeps of a store are."""

from __future__ import annotations

from orchestrator.cli.output import Json, StoreUri, SweepName, emit_json, show

NAME = "status"


def command(store: StoreUri, sweep: SweepName = None, json_: Json = False) -> None:
    """Show how many cells of each sweep are done, failed and missing, and what the failures say.

    Example: scalaw status runs/quickstart
    """
    from orchestrator.analysis.answers import status  # Arrow and DuckDB

    document = status(store, sweep=sweep)
    if json_:
        emit_json(document)
        return
    from orchestrator.reporting.tables import records_table

    show(records_table([{k: v for k, v in s.items() if k != "failures"} for s in document["sweeps"]]))
    for entry in document["sweeps"]:
        for failure in entry["failures"]:
            show(f"{entry['sweep']}: cell {failure['cell_id'][:12]} failed: {failure['error']}")
