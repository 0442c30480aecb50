"""``scalaw select``: what active selection would have done on runs that are finished."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, show, warn
from orchestrator.errors import BadInput

NAME = "select"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    cost: Annotated[str, typer.Option("--cost", metavar="COL", help="Column with what a row cost, e.g. flops.")],
    ahead: Annotated[
        str | None,
        typer.Option("--predict", metavar="TABLE", help="Rows to predict; default: the largest N and D, not chosen."),
    ] = None,
    budget_fraction: Annotated[
        float, typer.Option("--budget-fraction", metavar="F", help="Share of the cost that may be spent.")
    ] = 0.1,
    interval: Annotated[
        float | None, typer.Option("--target-interval", metavar="W", help="End at a 90 % interval of this log width.")
    ] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="T", help="loss or accuracy.")] = None,
    mapping: Annotated[str | None, typer.Option("--map", metavar="n=COL,…", help="Columns of a table.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Rows scored on this data.")] = None,
    recipe: RecipeName = None,
    sweep: SweepName = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides between rows that are worth the same.")] = 0,
    json_: Json = False,
) -> None:
    """Replay active selection on finished runs: which rows it takes, and how well they predict the dear ones.

    Example: scalaw select runs/quickstart --cost flops --budget-fraction 0.2
    """
    from orchestrator.analysis.inputs import gather
    from orchestrator.fitting.check import numeric_columns
    from orchestrator.fitting.selection.replay import replay

    if interval is not None and not interval > 0:
        raise BadInput(f"--target-interval {interval:g}: must be above 0")
    evidence = gather(source, mapping=mapping, target=target, sweep=sweep, task=task, recipe=recipe, keep=cost)
    aims = gather(ahead, mapping=mapping, target=target) if ahead is not None else None
    found = replay(
        evidence.axes,
        numeric_columns(evidence.axes, [cost])[cost],
        ahead=aims.axes if aims is not None else None,
        target=evidence.settings["target"],
        budget_fraction=budget_fraction,
        interval=interval,
        seed=seed,
    )
    document = found.to_json()
    warn([*evidence.notes, *document["warnings"]])
    if json_:
        emit_json(document)
        return
    from orchestrator.reporting.selection_table import selection_text

    show(selection_text(found))
