"""What a job looks for on the cluster before it runs: our Python, the packages, and the store that was meant.

Only the standard library is imported before the packages are looked for.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

from orchestrator.errors import Unreachable
from orchestrator.submission.order import JobOrder

#: Modules that a driver imports.
NEEDED: Final = (
    "torch", "ray", "numpy", "pyarrow", "pydantic", "yaml", "typer", "rich", "obstore", "duckdb", "safetensors",
)  # fmt: skip


def check_arrival(order: JobOrder) -> None:
    """Look whether an order can be run here, and take away the mark that `submit` left in the store.

    Raises
    ------
    Unreachable
        If this Python is another, lacks packages, or does not see the store.
    """
    _check_python(order)
    _check_store(order)


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
    if order.proof is None:
        return
    from orchestrator.store import open_store  # imports packages, which have been looked for by now

    store = open_store(order.store, create=True)
    if not store.sees_mark(order.proof):
        raise Unreachable(
            f"the cluster does not see the store {order.store} that this machine has: name a bucket (s3://…), or a "
            "folder that both have mounted"
        )
    store.take_mark(order.proof)
