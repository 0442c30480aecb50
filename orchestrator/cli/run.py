"""``scalaw run``: a sweep from YAML to exponents."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from orchestrator.cli.output import (
    Json,
    KeepWeights,
    Overrides,
    Plugins,
    ProgramFile,
    RetryFailed,
    Share,
    SweepFile,
    emit_json,
    show,
    tell,
    warn,
)
from orchestrator.cli.selection import BudgetFraction, Select, Selection, fraction_of
from orchestrator.errors import Interrupted
from orchestrator.execution import guard

NAME = "run"


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
    keep_weights: KeepWeights = None,
    dashboard: Annotated[bool, typer.Option("--dashboard/--no-dashboard", help="Serve Ray's dashboard.")] = True,
    overrides: Overrides = None,
    plugins: Plugins = None,
    program: ProgramFile = None,
    json_: Json = False,
) -> None:
    """Run a sweep here or on a cluster and fit its rows; safe to repeat: only missing cells are trained.

    Ctrl-C once finishes the stages in flight and stops; twice stops now.

    Example: scalaw run sweeps/quickstart.yaml --store runs/quickstart
    """
    from orchestrator.programs.program import read_program  # pydantic
    from orchestrator.spec import load_sweep

    fraction = fraction_of(select, budget_fraction)
    parsed = load_sweep(sweep, overrides=overrides or (), plugins=plugins or ())
    own = None if program is None else read_program(program)
    if guard.wanted():
        sys.exit(guard.lead())
    from orchestrator.execution.run import run_sweep  # Ray, once the sweep is known to be in order
    from orchestrator.reporting.run_summary import run_json, run_summary

    with contextlib.redirect_stdout(sys.stderr):  # Ray prints the news of its processes on stdout
        result = run_sweep(
            parsed,
            store=store,
            address=address,
            share=share,
            retry_failed=retry_failed,
            budget_fraction=fraction,
            keep_weights=keep_weights or (),
            dashboard=dashboard,
            program=own,
        )
    warn(result.answer.warnings)
    emit_json(run_json(result)) if json_ else show(*run_summary(result))
    if result.failed:
        tell(f"{result.failed} cells failed; see: scalaw status {store}, then run with --retry-failed")
    if result.interrupted:
        raise Interrupted(f"stopped with {result.missing} cells missing; run the same command again to go on")
    raise typer.Exit(1 if result.failed else 0)
