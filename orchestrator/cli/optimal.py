"""``scalaw optimal``: the best model for a compute budget, or the best measured one that is small and fast enough."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, show, warn
from orchestrator.cli.rows import Columns, Decimal, DropEmpty, Envelope, Group, Target, Where

NAME = "optimal"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    flops: Annotated[str | None, typer.Option("--flops", metavar="C", help="Compute budget, e.g. 1e18.")] = None,
    served_tokens: Annotated[
        str | None, typer.Option("--served-tokens", metavar="T", help="Tokens to serve out of the same budget.")
    ] = None,
    epochs_max: Annotated[str | None, typer.Option("--epochs-max", metavar="E", help="Most epochs.")] = None,
    d_max: Annotated[str | None, typer.Option("--d-max", metavar="D", help="Unique data there is.")] = None,
    law: Annotated[str | None, typer.Option("--law", metavar="L", help="Default: the best with an optimum.")] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Budgets from a tenth to ten times C.")] = False,
    max_bytes: Annotated[
        str | None, typer.Option("--max-bytes", metavar="B", help="Largest model file; of a store's cells.")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option("--max-latency", metavar="S", help="Seconds at batch 1, median; of a store's cells.")
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
    loss: Annotated[
        str | None,
        typer.Option("--loss", metavar="L", help="Instead of a budget: the cheapest that reaches this loss."),
    ] = None,
    n: Annotated[
        str | None, typer.Option("--n", metavar="N", help="The budget this size is best for; with a loss, its data.")
    ] = None,
    d: Annotated[str | None, typer.Option("--d", metavar="D", help="The budget that so much data is best for.")] = None,
    json_: Json = False,
) -> None:
    """Find the N, D and E that a budget is best spent on, or the best measured cell within limits of size and latency.

    Example: scalaw optimal runs/quickstart --flops 1e12
    """
    from orchestrator.analysis.answers import optimal  # Arrow and the fitter

    document = optimal(
        source,
        flops=flops,
        served_tokens=served_tokens,
        epochs_max=epochs_max,
        d_max=d_max,
        law=law,
        curve=curve,
        max_bytes=max_bytes,
        max_latency=max_latency,
        mapping=mapping,
        task=task,
        recipe=recipe,
        sweep=sweep,
        loss=loss,
        n=n,
        d=d,
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
        return
    from orchestrator.reporting.optimum_table import optimum_tables

    show(*optimum_tables(document))
