"""What runs on the cluster: looks whether it can, then runs the sweep as ``scalaw run`` does.

Only the standard library is imported before the packages are looked for.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from orchestrator.errors import ScalawError, Unreachable
from orchestrator.submission.order import SCRATCH, VARIABLE, JobOrder

#: Modules that a driver imports.
NEEDED = ("torch", "ray", "numpy", "pyarrow", "pydantic", "yaml", "typer", "rich", "obstore", "duckdb", "safetensors")


def main() -> None:
    """Run the order of the environment; exit as ``scalaw run`` does."""
    order = JobOrder.from_text(os.environ[VARIABLE])
    try:
        _check_python(order)
        _check_store(order)
    except ScalawError as refusal:
        print(f"scalaw: {refusal}", file=sys.stderr)
        sys.exit(refusal.exit_code)
    from orchestrator.cli.main import main as scalaw

    sweep = f"{Path(tempfile.mkdtemp(prefix=SCRATCH, dir='.')).name}/{Path(order.file).name}"
    Path(sweep).write_text(order.text, encoding="utf-8")
    changes = [word for change in order.overrides for word in ("--set", change)]
    try:
        scalaw(["run", sweep, "--store", order.store, "--address", "auto", *changes, *order.flags])
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        # Ray is shut down; what is left of the interpreter's end can crash after a node was lost, and fail the job.
        os._exit(end.code if isinstance(end.code, int) else 0)


def _check_python(order: JobOrder) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Unreachable(
            f"the cluster's Python ({sys.executable}) lacks {', '.join(missing)}: install there what scalaw needs "
            "(docker/Dockerfile does)"
        )
    if here != order.python:
        raise Unreachable(
            f"the cluster runs Python {here}, and the sweep was submitted from {order.python}: use the same"
        )


def _check_store(order: JobOrder) -> None:
    """Look for what `submit` wrote to the store, and take it away."""
    if order.proof is None:
        return
    from orchestrator.store import open_store

    store = open_store(order.store, create=True)
    if not store.sees_mark(order.proof):
        raise Unreachable(
            f"the cluster does not see the store {order.store} that this machine has: name a bucket (s3://…), or a "
            "folder that both have mounted"
        )
    store.take_mark(order.proof)


if __name__ == "__main__":
    main()
