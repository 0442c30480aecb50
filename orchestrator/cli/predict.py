"""``scalaw predict``: what a run not yet made would reach."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, warn

NAME = "predict"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    n: Annotated[str, typer.Option("--n", metavar="N", help="Non-embedding parameters, e.g. 1M.")],
    d: Annotated[str, typer.Option("--d", metavar="D", help="Unique tokens (examples where there are no tokens).")],
    e: Annotated[str, typer.Option("--e", metavar="E", help="Epochs over them.")] = "1",
    ft_d: Annotated[
        str | None, typer.Option("--ft-d", metavar="D", help="Fine-tuning examples, where the rows are fine-tuned.")
    ] = None,
    ft_e: Annotated[str | None, typer.Option("--ft-e", metavar="E", help="Epochs over them.")] = None,
    eps: Annotated[
        str | None, typer.Option("--eps", metavar="EPS", help="Share kept by compression; default: 1, nothing done.")
    ] = None,
    law: Annotated[str | None, typer.Option("--law", metavar="L", help="Default: the best.")] = None,
    level: Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="Coverage of the interval.")] = 0.9,
    mapping: Annotated[str | None, typer.Option("--map", metavar="n=COL,…", help="Columns of a table.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Rows scored on this data.")] = None,
    recipe: RecipeName = None,
    sweep: SweepName = None,
    json_: Json = False,
) -> None:
    """Predict the loss of a run with its interval.

    Example: scalaw predict runs/quickstart --n 1M --d 4M --e 2
    """
    from orchestrator.analysis.inputs import gather

    evidence = gather(source, mapping=mapping, target=None, sweep=sweep, task=task, recipe=recipe)
    asked = {"n": n, "d": d, "e": e, "ft_d": ft_d, "ft_e": ft_e, "eps": eps}
    document = evidence.predict({axis: text for axis, text in asked.items() if text is not None}, law=law, level=level)
    warn(document["warnings"])
    if json_:
        emit_json(document)
        return
    of = f"{document['target']} on {document['task']}" if document["task"] else document["target"]
    typer.echo(
        f"{of} {document['value']:.4g}  [{document['lo']:.4g}, {document['hi']:.4g}] at {level:.0%}, "
        f"law {document['law']}, n = {document['n']:,.0f}, d = {document['d']:,.0f} {document['d_means']}, "
        f"e = {document['e']:g}"
        + "".join(f", {axis} = {document[axis]:g}" for axis in ("ft_d", "ft_e", "eps") if axis in document)
    )
