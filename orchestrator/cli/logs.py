"""``scalaw logs``: what a run has said."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.output import ClusterAddress, Json, RunTarget, SweepName, emit_json, say

NAME = "logs"


def command(
    target: RunTarget,
    address: ClusterAddress = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    sweep: SweepName = None,
    json_: Json = False,
) -> None:
    """Print what a job, or the last run into a store, has said so far.

    Example: scalaw logs scalaw-quickstart-1f2e3d4c-1 --address http://head:8265 -f
    """
    from orchestrator.submission.runs import find_run

    run = find_run(target, address, sweep)
    if json_:
        emit_json({"target": target, "log": run.log()})
    elif follow:
        run.follow(lambda part: say(part, line=False))
    else:
        say(run.log(), line=False)
