"""``scalaw optimal``: the best model for a compute budget, or the best measured one that is small and fast enough."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, show, warn
from orchestrator.errors import BadInput

NAME = "optimal"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    flops: Annotated[str | None, typer.Option("--flops", metavar="C", help="Compute budget, e.g. 1e18.")] = None,
    served_tokens: Annotated[
        str | None, typer.Option("--served-tokens", metavar="T", help="Tokens to serve out of the same budget.")
    ] = None,
    epochs_max: Annotated[str | None, typer.Option("--epochs-max", metavar="E", help="Most epochs.")] = None,
    d_max: Annotated[str | None, typer.Option("--d-max", metavar="D", help="Unique data there is.")] = None,
    law: Annotated[
        str | None, typer.Option("--law", metavar="L", help="Default: the best with an compute_optimal.")
    ] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Budgets from a tenth to ten times C.")] = False,
    max_bytes: Annotated[
        str | None, typer.Option("--max-bytes", metavar="B", help="Largest model file; of a store's cells.")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option("--max-latency", metavar="S", help="Seconds at batch 1, median; of a store's cells.")
    ] = None,
    mapping: Annotated[str | None, typer.Option("--map", metavar="n=COL,…", help="Columns of a table.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Rows scored on this data.")] = None,
    recipe: RecipeName = None,
    sweep: SweepName = None,
    json_: Json = False,
) -> None:
    """Find the N, D and E that a budget is best spent on, or the best measured cell within limits of size and latency.

    Example: scalaw optimal runs/quickstart --flops 1e12
    """
    from orchestrator.analysis import compute_optimal, measured_best
    from orchestrator.reporting.optimum_table import curve_table, measured_table, optimum_text

    limits = {
        name: compute_optimal.positive(flag, text, math.inf)
        for flag, name, text in (
            ("--max-bytes", "model_bytes", max_bytes),
            ("--max-latency", "latency_p50_s", max_latency),
        )
        if text is not None
    }
    if (flops is None) == (not limits):
        raise BadInput("say what is limited: either --flops, or --max-bytes and --max-latency, one of them or both")
    if limits:
        given = {
            "--served-tokens": served_tokens,
            "--epochs-max": epochs_max,
            "--d-max": d_max,
            "--law": law,
            "--curve": curve or None,
            "--map": mapping,
        }
        if alone := [flag for flag, value in given.items() if value is not None]:
            raise BadInput(f"{' and '.join(alone)} belong to --flops: leave out, or give --flops instead of limits")
        document = measured_best.measured_best(source, limits, task=task, recipe=recipe, sweep=sweep)
        warn(document["warnings"])
        emit_json(document) if json_ else show(measured_table(document))
        return
    evidence = compute_optimal.gather_pretrained(source, mapping=mapping, task=task, recipe=recipe, sweep=sweep)
    document = compute_optimal.compute_optimal(
        evidence,
        flops=compute_optimal.positive("--flops", flops, math.inf),
        served=compute_optimal.positive("--served-tokens", served_tokens, 0.0),
        d_max=compute_optimal.positive("--d-max", d_max, math.inf),
        e_max=compute_optimal.positive("--epochs-max", epochs_max, math.inf, least=1.0),
        law=law,
        curve=curve,
    )
    warn(document["warnings"])
    if json_:
        emit_json(document)
        return
    show(optimum_text(document))
    if curve:
        show(curve_table(document))
