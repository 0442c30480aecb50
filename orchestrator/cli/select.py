"""``scalaw select``: what active selection would have done on runs that are finished."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, show, warn
from orchestrator.cli.rows import Columns, Decimal, DropEmpty, Envelope, Group, Where

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
    mapping: Columns = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Rows scored on this data.")] = None,
    recipe: RecipeName = None,
    sweep: SweepName = None,
    seed: Annotated[int, typer.Option("--seed", help="Decides between rows that are worth the same.")] = 0,
    where: Where = None,
    drop_empty: DropEmpty = False,
    envelope: Envelope = False,
    group: Group = None,
    decimal: Decimal = ".",
    json_: Json = False,
) -> None:
    """Replay active selection on finished runs: which rows it takes, and how well they predict the dear ones.

    Example: scalaw select runs/quickstart --cost flops --budget-fraction 0.2
    """
    from orchestrator.analysis.select import select  # Arrow and the fitter

    document = select(
        source,
        cost=cost,
        ahead=ahead,
        budget_fraction=budget_fraction,
        interval=interval,
        target=target,
        mapping=mapping,
        task=task,
        recipe=recipe,
        sweep=sweep,
        seed=seed,
        where=where,
        drop_empty=drop_empty,
        envelope=envelope,
        group=group,
        decimal=decimal,
    )
    warn(document["warnings"])
    if json_:
        emit_json(document)
        return
    from orchestrator.reporting.selection_table import selection_text

    show(selection_text(document))
