"""``scalaw store``: what concerns a store as a whole."""

from __future__ import annotations

import typer

from orchestrator.cli.output import Json, StoreUri, emit_json, show
from orchestrator.cli.wording import Verb

NAME = "store"
app = typer.Typer(no_args_is_help=True, help="Look after a store.")


@app.callback()
def root() -> None:
    """Take what stands before the verb."""


@app.command("check", cls=Verb)
def check(store: StoreUri, json_: Json = False) -> int:
    """Read all that a store holds and compare it with its checksums; exit 1 where something is damaged.

    Nothing is changed: what is damaged is set aside by the next verb that reads it, and measured anew by the next run.

    Example: scalaw store check runs/quickstart
    """
    from orchestrator.store import open_store  # Arrow and DuckDB

    report = open_store(store).check()
    if json_:
        emit_json(report.to_json())
        return 1 if report.damaged else 0
    counts = f"{report.parts:,} parts, {report.compacted:,} compacted parts, {report.fits:,} fits, "
    counts += f"{report.curves:,} curves, {report.documents:,} documents and {report.checkpoints:,} checkpoints "
    counts += "are as they were written"
    counts += f", and {report.weights:,} model files" if report.weights else ""
    show(f"{report.store}: {counts}")
    if report.unsealed:
        show(f"{len(report.unsealed):,} of them have no checksum, as an older scalaw wrote them")
    if report.set_aside:
        show(f"{len(report.set_aside):,} were found damaged before and lie in damaged/")
    for broken in report.damaged:
        show(f"damaged: {broken.key}: {broken.reason}")
    return 1 if report.damaged else 0
