"""Rows, stores and the four places where blobs may lie."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
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
AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}

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


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of an S3 server on this machine.

    S3 decides a conditional put in one step; moto's threads look and write in two, so here they take turns.
    """
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    responses = pytest.importorskip("moto.s3.responses").S3Response
    turn, put = threading.Lock(), responses._key_response_put

    def in_turn(*arguments: Any) -> Any:
        with turn:
            return put(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(responses, "_key_response_put", in_turn)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def s3_uri(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI of an empty prefix in a bucket of that server."""
    boto3 = pytest.importorskip("boto3")
    for name, value in {**AWS, "AWS_ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    return f"s3://bucket/{uuid.uuid4().hex}"


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
