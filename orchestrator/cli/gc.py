"""``scalaw gc``: drops what nothing in a store needs any more."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from orchestrator.cli.output import Json, StoreUri, emit_json, show, tell
from orchestrator.errors import BadInput

NAME = "gc"


def command(
    store: StoreUri,
    sweep: Annotated[
        str | None,
        typer.Option("--sweep", metavar="NAME", help="Only this sweep's checkpoints, also where it is not finished."),
    ] = None,
    weights: Annotated[bool, typer.Option("--weights", help="Also all final weights that were kept.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask; unfinished sweeps are kept unless --sweep names one.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be dropped, and drop nothing.")] = False,
    json_: Json = False,
) -> None:
    """Drop checkpoints that no missing cell needs, files of killed writers and old leases; rows are never touched.

    What it would drop is listed with sizes first. Checkpoints of unfinished sweeps go only if you say so for each.

    Example: scalaw gc runs/quickstart --dry-run
    """
    from orchestrator.analysis.garbage import gc  # Arrow and the planner

    if yes or dry_run:
        document = gc(store, sweep=sweep, weights=weights, dry_run=dry_run, tell=tell)
    elif sys.stdin.isatty() and not json_:
        document = gc(
            store, sweep=sweep, weights=weights, ask=lambda question: typer.confirm(question, err=True), tell=tell
        )
    else:
        document = gc(store, sweep=sweep, weights=weights, dry_run=True, tell=tell)
    if json_:
        emit_json(document)
    else:
        _show(document)
    if document["found"] and not (yes or dry_run) and (json_ or not sys.stdin.isatty()):
        raise BadInput("nothing was dropped: say --yes to drop this, or --dry-run only to look")


def _show(document: dict[str, Any]) -> None:
    from orchestrator.reporting.tables import records_table

    rows = [
        {
            "what": entry["what"] + (f" ({entry['sweep']})" if entry["sweep"] else ""),
            "files": entry["files"],
            "bytes": f"{entry['bytes']:,}",
            "training": f"{entry['training_flops']:.3g} FLOPs" if entry["sweep"] else "",
            "dropped": "yes" if entry["dropped"] else "no",
        }
        for entry in document["found"]
    ]
    show(records_table(rows) if rows else f"{document['store']}: nothing to drop")
    for left in document["left_alone"]:
        show(f"{left['sweep']} is left alone: {left['why']}")
