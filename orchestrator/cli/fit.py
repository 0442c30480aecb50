"""``scalaw fit``: laws from a store or from anybody's table."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, show, warn
from orchestrator.errors import BadInput

if TYPE_CHECKING:
    from orchestrator.analysis.inputs import Evidence

NAME = "fit"


class NoiseModel(StrEnum):
    """Values of ``--noise``."""

    EQUAL = "equal"
    SEEDS = "seeds"
    HETEROSCEDASTIC = "heteroscedastic"


class Resampling(StrEnum):
    """Values of ``--resample``."""

    CASE = "case"
    RESIDUAL = "residual"
    CLUSTER = "cluster"


def command(
    source: Annotated[str, typer.Argument(metavar="STORE|TABLE", help="A store, or a .csv, .parquet or .jsonl file.")],
    law: Annotated[list[str] | None, typer.Option("--law", metavar="L", help="Law to fit; may be repeated.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="T", help="loss or accuracy.")] = None,
    hold_out: Annotated[
        str | None, typer.Option("--hold-out", metavar="H", help="largest, none, or the dearest fraction such as 0.2.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option("--map", metavar="n=COL,d=COL,loss=COL", help="Which columns are the axes.")
    ] = None,
    bootstrap: Annotated[
        int | None, typer.Option("--bootstrap", metavar="B", min=0, max=100_000, help="Replicas.")
    ] = None,
    noise: Annotated[
        NoiseModel | None, typer.Option("--noise", help="What rows count for: alike, by seeds' spread, by cost.")
    ] = None,
    resample: Annotated[
        Resampling | None, typer.Option("--resample", help="What a replica draws: rows, errors, or all rows of an n.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Rows scored on this data.")] = None,
    recipe: RecipeName = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="COL", help="Compare the groups of this column: shared exponents, own factors."),
    ] = None,
    sweep: SweepName = None,
    json_: Json = False,
) -> None:
    """Fit laws and print parameters with 90 % intervals and held-out error.

    Example: scalaw fit runs.csv --map n=params,d=tokens,loss=val_loss --law chinchilla
    """
    from orchestrator.analysis.inputs import gather

    if by is not None and (law or hold_out is not None or noise or resample):
        raise BadInput(
            "--by compares the groups by the chinchilla law, its own held-out rows and intervals: leave out --law, "
            "--hold-out, --noise and --resample"
        )
    evidence = gather(source, mapping=mapping, target=target, sweep=sweep, task=task, recipe=recipe, keep=by)
    if by is not None:
        _compare(evidence, by, bootstrap, json_)
        return
    report = evidence.fit(laws=law, hold_out=hold_out, bootstrap=bootstrap, noise=noise, resample=resample)
    asked = (law, hold_out, bootstrap, noise, resample, recipe)
    if evidence.store is not None and all(flag is None for flag in asked):
        evidence.commit(report)
    from orchestrator.fitting import report_json

    warn([*evidence.notes, *report.warnings])
    if json_:
        emit_json(report_json(report))
        return
    from orchestrator.reporting.tables import fit_table

    show(fit_table(report))


def _compare(evidence: Evidence, by: str, bootstrap: int | None, json_: bool) -> None:
    """Print how the groups of a column compare."""
    from orchestrator.fitting.comparison import fit_by
    from orchestrator.reporting.comparison_table import comparison_table

    replicas = evidence.settings["bootstrap"] if bootstrap is None else bootstrap
    found = fit_by(evidence.axes, by, target=evidence.settings["target"], bootstrap=replicas)
    warn(list(evidence.notes))
    if json_:
        emit_json({"by": found.to_json()})
        return
    show(comparison_table(found))
