"""``scalaw submit``: a sweep as a job of a cluster elsewhere."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import ClusterAddress, Json, Overrides, SweepFile, emit_json
from orchestrator.cli.run import BudgetFraction, RetryFailed, Select, Selection, Share, fraction_of
from orchestrator.errors import Interrupted, Unreachable

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
    working_dir: Annotated[
        str, typer.Option("--working-dir", metavar="DIR", help="Folder that is sent along; the job runs in it.")
    ] = ".",
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Files not to send, such as 'data/*'.")
    ] = None,
    overrides: Overrides = None,
    json_: Json = False,
) -> None:
    """Send a sweep to a Ray cluster and return when it has begun; sent again while it runs, nothing is doubled.

    Example: scalaw submit sweeps/quickstart.yaml --address http://head:8265 --store s3://lab/quickstart
    """
    from orchestrator.spec import load_sweep

    fraction = fraction_of(select, budget_fraction)
    parsed = load_sweep(sweep, overrides=overrides or ())
    from orchestrator.submission.client import JobServer
    from orchestrator.submission.submit import goes_on, submit

    flags = [] if share else ["--no-share"]
    flags += ["--retry-failed"] if retry_failed else []
    flags += ["--select", "active", "--budget-fraction", f"{fraction:g}"] if fraction is not None else []
    with contextlib.redirect_stdout(sys.stderr):
        server = JobServer(address)
        found = submit(
            server,
            parsed,
            file=Path(sweep).name,
            text=Path(sweep).read_text(encoding="utf-8"),
            overrides=overrides or (),
            store=store,
            flags=flags,
            folder=Path(working_dir),
            excludes=exclude or (),
            tell=lambda sentence: typer.echo(sentence, err=True),
        )
    dashboard = f"{server.address}/#/jobs/{found.job_id}"
    if json_:
        emit_json(
            {
                "job_id": found.job_id,
                "sweep": parsed.name,
                "address": server.address,
                "dashboard_url": dashboard,
                "attached": found.attached,
                "begun": found.begun,
                "package_bytes": found.package.size_bytes if found.package else 0,
            }
        )
    else:
        word = "is running already" if found.attached else "has begun" if found.begun else "is waiting for the cluster"
        typer.echo(f"{parsed.name} {word}: job {found.job_id}\ndashboard: {dashboard}")
        typer.echo(f"follow it: scalaw logs {found.job_id} --address {server.address} --follow", err=True)
    if wait:
        try:
            job = server.follow(found.job_id, lambda part: typer.echo(part, nl=False, err=True))
        except KeyboardInterrupt as interrupt:
            raise Interrupted(goes_on(found.job_id, server.address)) from interrupt
        if job["status"] == "STOPPED":
            raise Interrupted(f"{found.job_id} was stopped; submit the sweep again to go on")
        code = job["exit_code"] if job["exit_code"] is not None else int(job["status"] != "SUCCEEDED")
        if code < 0 or code > Interrupted.exit_code:
            raise Unreachable(f"the driver of {found.job_id} was ended by a signal; submit the sweep again to go on")
        raise typer.Exit(code)
