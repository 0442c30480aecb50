"""``scalaw run``: a sweep from YAML to exponents."""

from __future__ import annotations

import contextlib
import sys
from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli.output import Json, Overrides, SweepFile, emit_json, show, warn
from orchestrator.errors import BadInput, Interrupted

NAME = "run"
#: Share of the grid's FLOPs that a selection spends where none is named.
BUDGET_FRACTION = 0.1


class Selection(StrEnum):
    """Which cells of a grid are trained."""

    grid = "grid"
    active = "active"


Share = Annotated[bool, typer.Option("--share/--no-share", help="Train once what cells have in common.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Train failed cells again.")]
Select = Annotated[
    Selection, typer.Option("--select", help="active: cells are chosen by what they tell for what they cost.")
]
BudgetFraction = Annotated[
    float | None,
    typer.Option("--budget-fraction", metavar="F", help="With active: share of the grid's FLOPs; default 0.1."),
]


def command(
    sweep: SweepFile,
    store: Annotated[str, typer.Option("--store", metavar="URI", help="Folder or bucket that keeps the rows.")],
    address: Annotated[
        str | None, typer.Option("--address", metavar="ADDR", help="Ray cluster to join; default: start Ray here.")
    ] = None,
    share: Share = True,
    retry_failed: RetryFailed = False,
    select: Select = Selection.grid,
    budget_fraction: BudgetFraction = None,
    dashboard: Annotated[bool, typer.Option("--dashboard/--no-dashboard", help="Serve Ray's dashboard.")] = True,
    overrides: Overrides = None,
    json_: Json = False,
) -> None:
    """Run a sweep here or on a cluster and fit its rows; safe to repeat: only missing cells are trained.

    Ctrl-C once finishes the stages in flight and stops; twice stops now.

    Example: scalaw run sweeps/quickstart.yaml --store runs/quickstart
    """
    from orchestrator.spec import load_sweep

    fraction = fraction_of(select, budget_fraction)
    parsed = load_sweep(sweep, overrides=overrides or ())
    from orchestrator.execution.run import run_sweep

    with contextlib.redirect_stdout(sys.stderr):  # Ray prints the news of its processes on stdout
        result = run_sweep(
            parsed,
            store=store,
            address=address,
            share=share,
            retry_failed=retry_failed,
            budget_fraction=fraction,
            dashboard=dashboard,
        )
    fits = result.answer.fits_json()
    warn(result.answer.warnings)
    if json_:
        emit_json(
            {
                "sweep": result.sweep,
                "rows": result.rows,
                "failed": result.failed,
                "missing": result.missing,
                "not_chosen": result.not_chosen,
                "wall_s": result.wall_s,
                "flops_spent": result.flops_spent,
                "worker_s": result.worker_s,
                "peak_state_bytes": result.peak_state_bytes,
                "spilled": result.spilled,
                "interrupted": result.interrupted,
                **fits,
            }
        )
    else:
        left_out = f", {result.not_chosen} not chosen" if result.not_chosen else ""
        typer.echo(
            f"{result.sweep}: {result.rows} rows, {result.failed} failed, {result.missing} missing{left_out}; "
            f"{result.flops_spent:.3g} training FLOPs in {result.wall_s:.1f} s"
        )
        if result.report is not None and not result.interrupted:
            from orchestrator.reporting.tables import fit_table

            show(fit_table(result.report))
            before = result.answer.pretraining
            if before is not None and before.report is not None and before.evidence is not None:
                typer.echo(f"\nbefore fine-tuning, on {before.evidence.task}:")
                show(fit_table(before.report))
    if result.failed:
        typer.echo(f"{result.failed} cells failed; see: scalaw status {store}, then run with --retry-failed", err=True)
    if result.interrupted:
        raise Interrupted(f"stopped with {result.missing} cells missing; run the same command again to go on")
    raise typer.Exit(1 if result.failed else 0)


def fraction_of(select: Selection, fraction: float | None) -> float | None:
    """Return the share of the FLOPs that a selection may spend; None for the whole grid.

    Raises
    ------
    BadInput
        If a fraction is named without a selection.
    """
    if select is Selection.grid:
        if fraction is not None:
            raise BadInput("--budget-fraction belongs to --select active: add it, or leave the fraction out")
        return None
    return BUDGET_FRACTION if fraction is None else fraction
