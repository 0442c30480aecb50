"""``scalaw fit``: laws from a store or from anybody's table."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from orchestrator.cli.output import Json, RecipeName, SweepName, emit_json, say, show, warn
from orchestrator.cli.rows import Columns, Decimal, DropEmpty, Envelope, Group, Where
from orchestrator.errors import BadInput

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
    laws: Annotated[list[str] | None, typer.Option("--law", metavar="L", help="Law to fit; may be repeated.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="T", help="loss or accuracy.")] = None,
    hold_out: Annotated[
        str | None, typer.Option("--hold-out", metavar="H", help="largest, none, or the dearest fraction such as 0.2.")
    ] = None,
    mapping: Columns = None,
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
    where: Where = None,
    drop_empty: DropEmpty = False,
    envelope: Envelope = False,
    group: Group = None,
    decimal: Decimal = ".",
    fix: Annotated[
        str | None, typer.Option("--fix", metavar="alpha=beta,E=1.69", help="Tie parameters, or hold them at a value.")
    ] = None,
    format_: Annotated[
        Literal["text", "csv", "latex", "markdown"], typer.Option("--format", help="How the table is written.")
    ] = "text",
    json_: Json = False,
) -> None:
    """Fit laws and print parameters with 90 % intervals and held-out error.

    Example: scalaw fit runs.csv --map n=params,d=tokens,loss=val_loss --law chinchilla
    """
    from orchestrator.analysis.fit_source import compare_groups, fit_source  # Arrow and the fitter

    if by is not None:
        if laws or hold_out is not None or noise or resample:
            raise BadInput(
                "--by compares the groups by the chinchilla law, its own held-out rows and intervals: leave out "
                "--law, --hold-out, --noise and --resample"
            )
        groups, warnings = compare_groups(
            source,
            by=by,
            target=target,
            mapping=mapping,
            bootstrap=bootstrap,
            task=task,
            recipe=recipe,
            sweep=sweep,
            where=where,
            drop_empty=drop_empty,
            envelope=envelope,
            group=group,
            decimal=decimal,
        )
        warn(warnings)
        if json_:
            emit_json({"by": groups.to_json()})
            return
        from orchestrator.reporting.comparison_table import comparison_table

        show(comparison_table(groups))
        return
    report, warnings = fit_source(
        source,
        laws=laws,
        target=target,
        hold_out=hold_out,
        mapping=mapping,
        bootstrap=bootstrap,
        noise=noise,
        resample=resample,
        task=task,
        recipe=recipe,
        sweep=sweep,
        where=where,
        drop_empty=drop_empty,
        envelope=envelope,
        group=group,
        decimal=decimal,
        fix=fix,
    )
    warn(warnings)
    if json_:
        from orchestrator.fitting import report_json

        emit_json(report_json(report))
        return
    if format_ != "text":
        from orchestrator.reporting.written_tables import fit_records, written

        say(written(fit_records(report), format_), line=False)
        return
    from orchestrator.reporting.tables import fit_table

    show(fit_table(report))
