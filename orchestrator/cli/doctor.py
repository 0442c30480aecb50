"""``scalaw doctor``: what works on this machine, what does not, how to mend it."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, emit_json, show
from orchestrator.cli.wording import with_flags

NAME = "doctor"


def command(
    store: Annotated[str | None, typer.Option("--store", metavar="URI", help="A store to try as well.")] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="ADDR", help="A Ray cluster to try as well.")
    ] = None,
    json_: Json = False,
) -> None:
    """Check Python, torch, devices, Ray and the store.

    Example: scalaw doctor --store runs/quickstart
    """
    from orchestrator.execution.doctor import checkup

    findings = [{**finding, "mend": with_flags(finding["mend"])} for finding in checkup(store, address)]
    if json_:
        emit_json({"ok": all(f["ok"] for f in findings), "checks": findings})
    else:
        from orchestrator.reporting.tables import records_table

        show(records_table([{**f, "ok": "yes" if f["ok"] else "NO"} for f in findings]))
    raise typer.Exit(0 if all(f["ok"] for f in findings) else 1)
