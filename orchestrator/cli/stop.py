"""``scalaw stop``: ends a run so that nothing is lost."""

from __future__ import annotations

from orchestrator.cli.output import ClusterAddress, Json, RunTarget, SweepName, emit_json, say, tell

NAME = "stop"


def command(target: RunTarget, address: ClusterAddress = None, sweep: SweepName = None, json_: Json = False) -> None:
    """Stop a job, or the run into a store: stages in flight finish, states are kept, the same command goes on later.

    Example: scalaw stop scalaw-quickstart-1f2e3d4c-1 --address http://head:8265
    """
    from orchestrator.submission.runs import stop  # Ray

    state = stop(target, address=address, sweep=sweep, tell=tell)
    if json_:
        emit_json({"target": target, "state": state})
    else:
        say(f"{target}: {state}")
