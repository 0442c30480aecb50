"""``scalaw submit``: a sweep as a job of a cluster elsewhere."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from orchestrator.cli.output import (
    ClusterAddress,
    Json,
    KeepWeights,
    Overrides,
    Plugins,
    ProgramFile,
    RetryFailed,
    Share,
    SweepFile,
    emit_json,
    say,
    tell,
)
from orchestrator.cli.selection import BudgetFraction, Select, Selection, fraction_of

NAME = "submit"


def command(
    sweep: SweepFile,
    store: Annotated[
        str, typer.Option("--store", metavar="URI", help="Bucket, or a folder that the cluster sees under this name.")
    ],
    address: ClusterAddress = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job's log to its end, and exit as it does.")] = False,
    share: Share = True,
    retry_failed: RetryFailed = False,
    select: Select = Selection.grid,
    budget_fraction: BudgetFraction = None,
    keep_weights: KeepWeights = None,
    working_dir: Annotated[
        str, typer.Option("--working-dir", metavar="DIR", help="Folder that is sent along; the job runs in it.")
    ] = ".",
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Files not to send, such as 'data/*'.")
    ] = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    program: ProgramFile = None,
    json_: Json = False,
) -> None:
    """Send a sweep to a Ray cluster and return when it has begun; sent again while it runs, nothing is doubled.

    Example: scalaw submit sweeps/quickstart.yaml --address http://head:8265 --store s3://lab/quickstart
    """
    from orchestrator.submission.submit import submit, waited  # Ray

    with contextlib.redirect_stdout(sys.stderr):  # Ray prints its news on stdout
        found = submit(
            sweep,
            store=store,
            address=address,
            share=share,
            retry_failed=retry_failed,
            budget_fraction=fraction_of(select, budget_fraction),
            keep_weights=keep_weights or (),
            working_dir=working_dir,
            exclude=exclude or (),
            overrides=overrides or (),
            plugins=plugins or (),
            program=program,
            tell=tell,
        )
    job_id, at = found["job_id"], found["address"]
    if json_:
        emit_json(found)
    else:
        word = (
            "is running already"
            if found["attached"]
            else "has begun"
            if found["begun"]
            else "is waiting for the cluster"
        )
        say(f"{found['sweep']} {word}: job {job_id}\ndashboard: {found['dashboard_url']}")
        tell(f"follow it: scalaw logs {job_id} --address {at} --follow")
    if wait:
        raise typer.Exit(waited(job_id, address=at, tell=lambda part: tell(part, line=False)))
