"""A cluster that runs something else than we do: said in one line, before anything is trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from orchestrator.errors import Unreachable
from orchestrator.store import open_store
from orchestrator.submission.client import JobServer
from orchestrator.submission.order import VARIABLE, JobOrder

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def answering():
    """Start a server that gives one answer to everything, in the place of a dashboard."""
    servers = []

    def start(content: bytes, kind: str, status: int = 200):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_another_version_of_ray_is_named_with_ours(answering):
    import ray

    version = {"version": "4", "ray_version": "2.1.0", "ray_commit": "x", "session_name": "x"}
    address = answering(json.dumps(version).encode(), "application/json")
    with pytest.raises(Unreachable, match=rf"runs Ray 2\.1\.0, and here is Ray {ray.__version__}: install the same"):
        JobServer(address)


@pytest.mark.parametrize(("content", "status"), [(b"<html>hello</html>", 200), (b"no", 404), (b"{}", 200)])
def test_what_is_no_dashboard_is_told_so(answering, content, status):
    address = answering(content, "text/html", status)
    with pytest.raises(Unreachable, match=f"{address} (is no Ray dashboard|refused)"):
        JobServer(address)


@pytest.fixture
def job(tmp_path):
    """Run what a cluster runs, there with another Python or without packages."""

    def run(
        *options: str, python: str = f"{sys.version_info.major}.{sys.version_info.minor}", proof: str | None = None
    ):
        store = str(tmp_path / "store")
        order = JobOrder(
            file="x.yaml", text="", overrides=[], store=store, share=True, retry_failed=False, budget_fraction=None,
            proof=proof, python=python,
        )  # fmt: skip
        return subprocess.run(
            [sys.executable, *options, "-m", "orchestrator.cli.job"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), VARIABLE: order.to_text()},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_another_python_is_named_with_ours(job):
    ended = job(python="3.9")
    assert ended.returncode == 3
    assert ended.stderr == (
        f"scalaw: the cluster runs Python {sys.version_info.major}.{sys.version_info.minor}, and the sweep was "
        "submitted from 3.9: use the same\n"
    )


def test_missing_packages_are_named(job):
    ended = job("-S")  # without site-packages
    assert ended.returncode == 3
    assert "lacks torch, ray, numpy" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_store_that_lacks_what_submit_wrote_is_another_store(job, tmp_path):
    open_store(str(tmp_path / "store"), create=True)
    ended = job(proof="logs/mark-never-written")
    assert ended.returncode == 3
    assert "does not see the store" in ended.stderr
