"""``scalaw plot``: the figure of a fit, or of compressed models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, warn
from orchestrator.errors import BadInput

NAME = "plot"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .png, .svg or .pdf file.")],
    kind: Annotated[
        Literal["law", "compression"], typer.Option("--kind", help="The fit, or loss against size and latency.")
    ] = "law",
    law: Annotated[list[str] | None, typer.Option("--law", metavar="L", help="Law to draw; default: the best.")] = None,
    mapping: Annotated[str | None, typer.Option("--map", metavar="n=COL,…", help="Columns of a table.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Rows scored on this data.")] = None,
    recipe: RecipeName = None,
    sweep: SweepName = None,
    json_: Json = False,
) -> None:
    """Draw the measured losses, the best law through them and its held-out predictions; or compressed models.

    Example: scalaw plot runs/quickstart -o quickstart.png
    """
    from orchestrator.analysis.inputs import gather
    from orchestrator.analysis.measured_best import measured_cells
    from orchestrator.reporting.compression_figure import compression_figure, frontiers
    from orchestrator.reporting.figures import save_figure, scaling_figure

    if kind == "compression":
        if law or mapping:
            raise BadInput("--law and --map belong to --kind law; sizes and latencies of models are read from a store")
        rows = measured_cells(source, ["model_bytes"], task=task, recipe=recipe, sweep=sweep)
        save_figure(compression_figure(rows, title=f"{sweep or Path(source).name}: {rows['task'][0]}"), output)
        if json_:
            emit_json({"path": str(output), "kind": kind, "frontiers": frontiers(rows)})
        else:
            typer.echo(f"wrote {output}")
        return
    evidence = gather(source, mapping=mapping, target=None, sweep=sweep, task=task, recipe=recipe)
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
        emit_json({"path": str(output), "kind": kind, "law": report.best.law if report.best else None})
    else:
        typer.echo(f"wrote {output}")
