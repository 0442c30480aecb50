"""What runs on the cluster: the order that `scalaw submit` sent, as the words of `scalaw run`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from orchestrator.errors import ScalawError
from orchestrator.printable import printable
from orchestrator.submission.arrival import check_arrival
from orchestrator.submission.order import SCRATCH, VARIABLE, JobOrder


def main() -> None:
    """Run the order of the environment; exit as ``scalaw run`` does."""
    order = JobOrder.from_text(os.environ[VARIABLE])
    try:
        check_arrival(order)
    except ScalawError as refusal:
        print(f"scalaw: {printable(str(refusal))}", file=sys.stderr)
        sys.exit(refusal.exit_code)
    from orchestrator.cli.main import main as scalaw  # needs the packages that have just been looked for

    sweep = f"{Path(tempfile.mkdtemp(prefix=SCRATCH, dir='.')).name}/{Path(order.file).name}"
    Path(sweep).write_text(order.text, encoding="utf-8")
    try:
        scalaw(words(order, sweep))
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        # Ray is shut down; what is left of the interpreter's end can crash after a node was lost, and fail the job.
        os._exit(end.code if isinstance(end.code, int) else 0)


def words(order: JobOrder, sweep: str) -> list[str]:
    """Return the words of ``scalaw run`` that do what is ordered."""
    said = ["run", sweep, "--store", order.store, "--address", "auto"]
    said += [word for change in order.overrides for word in ("--set", change)]
    said += [word for path in order.plugins for word in ("--plugin", path)]
    said += [] if order.share else ["--no-share"]
    said += ["--retry-failed"] if order.retry_failed else []
    if order.budget_fraction is not None:
        said += ["--select", "active", "--budget-fraction", repr(order.budget_fraction)]
    said += [word for cell in order.keep_weights for word in ("--keep-weights", cell)]
    if order.program is not None:
        said += ["--program", order.program]
    return said


if __name__ == "__main__":
    main()
