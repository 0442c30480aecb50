"""What tests of several packages start from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from orchestrator.spec import Sweep, parse_sweep

AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
SIMULATED = """\
name: simulated
seed: 0
data: {source: simulated, examples: 1M}
model: {family: simulated, alpha: 0.3, beta: 0.25, gamma: 0.1, C: 20, floor: 0, noise: 0.01}
grid:
  params: [1k, 3k, 10k]
  data_fraction: [0.1, 0.3, 1.0]
  epochs: [1, 2, 4]
fit: {bootstrap: 200}
"""
TRANSFORMER = """\
name: small
seed: 1
data: {source: python-stdlib, max_examples: 512, eval_examples: 64}
model: {family: transformer}
grid:
  params: [2k]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2, 3]
train: {batch_size: 16, warmup_steps: 5}
fit: {bootstrap: 50}
"""


@pytest.fixture
def simulated_yaml() -> str:
    """27 cells that train nothing."""
    return SIMULATED


@pytest.fixture
def transformer_yaml() -> str:
    """Six cells of a very small transformer."""
    return TRANSFORMER


@pytest.fixture
def sweep() -> Callable[..., Sweep]:
    """Parse a sweep; keyword ``overrides`` as on the command line."""

    def parse(text: str = SIMULATED, **keywords: list[str]) -> Sweep:
        return parse_sweep(text, **keywords)

    return parse


@pytest.fixture(scope="session")
def how_to_add() -> Callable[[str], list[str]]:
    """Return the Python of a section of CONTRIBUTING.md, block by block."""
    page = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in page.split("\n### ")[1:])
    return lambda title: re.findall(r"```python\n(.*?)```", sections[title], re.DOTALL)


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Callable[[str], str]]:
    """Install the package ``my_package`` with entry points; get what runs code in a fresh process that finds it.

    A fresh process, because entry points are read once and a sweep's classes are made from them.
    """

    def installed(modules: dict[str, str], entry_points: dict[str, str]) -> Callable[[str], str]:
        site = tmp_path / "site-packages"
        about, package = site / "my_package-1.0.dist-info", site / "my_package"
        about.mkdir(parents=True)
        package.mkdir()
        for module, source in {"__init__": "", **modules}.items():
            (package / f"{module}.py").write_text(source)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
        groups = [f"[{group}]\n{entry}\n" for group, entry in entry_points.items()]
        (about / "entry_points.txt").write_text("\n".join(groups))
        path = os.pathsep.join([str(site), str(Path(__file__).parents[1])])

        def run(code: str) -> str:
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(code)],
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        return run

    return installed


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch use one thread, which models of these sizes are fastest with, and by which bits are compared."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Callable[[], Path]]:
    """Makes folders with room for the names of Ray's sockets, which end at 107 bytes; pytest's own are too deep."""
    with ExitStack() as stack:
        yield lambda: Path(stack.enter_context(TemporaryDirectory(prefix="s")))


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
