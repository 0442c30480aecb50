"""``scalaw list``: the sweeps that a cluster runs, or ran."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.cli.output import ClusterAddress, Json, emit_json, show

NAME = "list"


def command(address: ClusterAddress = None, json_: Json = False) -> None:
    """List the jobs that were submitted to a cluster, newest first.

    Example: scalaw list --address http://head:8265
    """
    from orchestrator.submission.runs import jobs  # Ray

    found = jobs(address)
    if json_:
        emit_json(found)
        return
    if not found:
        show("no jobs of scalaw")
        return
    from orchestrator.reporting.tables import records_table

    show(
        records_table(
            [
                {
                    "job": job["job_id"],
                    "status": job["status"].lower(),
                    "started": _time(job["started_s"]),
                    "ended": _time(job["ended_s"]),
                    "store": job["store"],
                }
                for job in found
            ]
        ),
        width=200,
    )


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
