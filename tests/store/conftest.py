"""Rows, stores and the four places where blobs may lie."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.blobs import Blobs
from orchestrator.store.local_blobs import LocalBlobs
from orchestrator.store.object_blobs import ObjectBlobs
from orchestrator.store.store import Store, open_store

REPOSITORY = Path(__file__).parents[2]
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

Row = Callable[..., dict[str, Any]]
Process = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def row() -> Row:
    """Make the row of the cell with a number."""

    def make(number: int, *, status: str = "ok", **columns: Any) -> dict[str, Any]:
        return {
            "cell_id": f"{number:064x}",
            "task": "text",
            "seed": 0,
            "params_non_embedding": 1000 * (number + 1),
            "val_loss": 1.0 + number if status == "ok" else None,
            "status": status,
            "error": "Traceback" if status == "failed" else None,
            "started_at": STARTED,
            "finished_at": STARTED,
            **columns,
        }

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in a folder."""
    return open_store(str(tmp_path / "store"), create=True)


@pytest.fixture
def process() -> Iterator[Process]:
    """Start Python processes that see the repository; those still running afterwards are killed."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", program, *arguments]
        started.append(
            subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for running in started:
        running.kill()
        running.communicate()


@pytest.fixture
def s3_blobs(s3_uri: str) -> Blobs:
    """Blobs below that prefix."""
    return open_store(s3_uri, create=True).blobs


@pytest.fixture(params=["local", "memory", "obstore-local", pytest.param("s3", marks=pytest.mark.slow)])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """Empty blobs of every kind."""
    if request.param == "local":
        return LocalBlobs(tmp_path / "blobs")
    if request.param == "s3":
        s3: Blobs = request.getfixturevalue("s3_blobs")
        return s3
    from obstore.store import LocalStore, MemoryStore

    if request.param == "memory":
        return ObjectBlobs(MemoryStore(), "memory")
    return ObjectBlobs(LocalStore(tmp_path / "blobs", mkdir=True), "obstore-local")
