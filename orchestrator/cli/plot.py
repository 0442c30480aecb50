"""``scalaw plot``: the figure of a fit, or of compressed models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, say, warn
from orchestrator.cli.rows import Columns, Decimal, DropEmpty, Envelope, Group, Target, Where

NAME = "plot"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .png, .svg or .pdf file.")],
    kind: Annotated[
        Literal["law", "compression"], typer.Option("--kind", help="The fit, or loss against size and latency.")
    ] = "law",
    laws: Annotated[
        list[str] | None, typer.Option("--law", metavar="L", help="Law to draw; default: the best.")
    ] = None,
    mapping: Columns = None,
    target: Target = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Rows scored on this data.")] = None,
    recipe: RecipeName = None,
    sweep: SweepName = None,
    where: Where = None,
    drop_empty: DropEmpty = False,
    envelope: Envelope = False,
    group: Group = None,
    decimal: Decimal = ".",
    json_: Json = False,
) -> None:
    """Draw the measured losses, the best law through them and its held-out predictions; or compressed models.

    Example: scalaw plot runs/quickstart -o quickstart.png
    """
    from orchestrator.reporting.plot import plot  # Matplotlib

    document = plot(
        source,
        output,
        kind=kind,
        laws=laws,
        mapping=mapping,
        task=task,
        recipe=recipe,
        sweep=sweep,
        target=target,
        where=where,
        drop_empty=drop_empty,
        envelope=envelope,
        group=group,
        decimal=decimal,
    )
    warn(document["warnings"])
    if json_:
        emit_json(document)
    else:
        say(f"wrote {output}")
