"""``scalaw query``: SQL over rows and fits."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, StoreUri, SweepName, emit_json, line_width, show, warn

NAME = "query"


def command(
    store: StoreUri,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT over the tables results and fits.")],
    sweep: SweepName = None,
    limit_rows: Annotated[
        int | None,
        typer.Option(
            "--limit-rows", metavar="N", min=1, help="Only the first N rows; default: all, and at most 1,000,000."
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Query rows and fits with read-only SQL (DuckDB).

    Example: scalaw query runs/quickstart "select parameter, value, lo, hi from fits where best"
    """
    from orchestrator.analysis.answers import query  # Arrow and DuckDB

    records = query(store, sql, sweep=sweep, limit_rows=limit_rows)
    if len(records) == limit_rows:
        warn([f"these are the first {limit_rows:,} rows (`limit_rows`); there may be more"])
    if json_:
        emit_json(records)
        return
    from orchestrator.reporting.tables import records_table

    width = line_width()
    show(records_table(records, width), width=width)
