"""``scalaw predict``: what a run not yet made would reach."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, say, warn
from orchestrator.cli.rows import Columns, Decimal, DropEmpty, Envelope, Group, Target, Where

NAME = "predict"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    n: Annotated[str | None, typer.Option("--n", metavar="N", help="Non-embedding parameters, e.g. 1M.")] = None,
    d: Annotated[
        str | None, typer.Option("--d", metavar="D", help="Unique tokens (examples where there are no tokens).")
    ] = None,
    e: Annotated[str | None, typer.Option("--e", metavar="E", help="Epochs over them; default: 1.")] = None,
    ft_d: Annotated[
        str | None, typer.Option("--ft-d", metavar="D", help="Fine-tuning examples, where the rows are fine-tuned.")
    ] = None,
    ft_e: Annotated[str | None, typer.Option("--ft-e", metavar="E", help="Epochs over them.")] = None,
    eps: Annotated[
        str | None, typer.Option("--eps", metavar="EPS", help="Share kept by compression; default: 1, nothing done.")
    ] = None,
    law: Annotated[str | None, typer.Option("--law", metavar="L", help="Default: the best.")] = None,
    level: Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="Coverage of the interval.")] = 0.9,
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
    """Predict the loss of a run with its interval.

    Example: scalaw predict runs/quickstart --n 1M --d 4M --e 2
    """
    from orchestrator.analysis.answers import predict  # Arrow and the fitter

    document = predict(
        source,
        n=n,
        d=d,
        e=e,
        ft_d=ft_d,
        ft_e=ft_e,
        eps=eps,
        law=law,
        level=level,
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
        return
    from orchestrator.reporting.prediction_text import prediction_text

    say(prediction_text(document))
