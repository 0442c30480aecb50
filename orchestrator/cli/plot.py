"""``scalaw plot``: the figure of a fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, warn

NAME = "plot"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .png, .svg or .pdf file.")],
    law: Annotated[list[str] | None, typer.Option("--law", metavar="L", help="Law to draw; default: the best.")] = None,
    mapping: Annotated[str | None, typer.Option("--map", metavar="n=COL,…", help="Columns of a table.")] = None,
    recipe: RecipeName = None,
    sweep: SweepName = None,
    json_: Json = False,
) -> None:
    """Draw the measured losses, the best law through them and its held-out predictions.

    Example: scalaw plot runs/quickstart -o quickstart.png
    """
    from orchestrator.execution.evidence import gather
    from orchestrator.reporting.figures import save_figure, scaling_figure

    evidence = gather(source, mapping=mapping, target=None, sweep=sweep, task=None, recipe=recipe)
    report = evidence.fit(laws=law, none_is_fine=True)
    warn([*evidence.notes, *report.warnings])
    figure = scaling_figure(
        evidence.axes,
        report,
        title=evidence.title,
        target=evidence.settings["target"],
        d_label=f"data D ({evidence.d_means})",
        hold_out=evidence.settings["hold_out"],
    )
    save_figure(figure, output)
    if json_:
        emit_json({"path": str(output), "law": report.best.law if report.best else None})
    else:
        typer.echo(f"wrote {output}")
