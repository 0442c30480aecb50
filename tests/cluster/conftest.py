"""Real Ray clusters for the tests of this folder."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from pathlib import Path

import pytest

from .nodes import BIN, START_S, Nodes, free_port
from .nodes import end_session as _end_session

DOCKER = Path(__file__).resolve().parents[2] / "docker"


@pytest.fixture
def port() -> int:
    """A port that is free."""
    return free_port()


@pytest.fixture
def end_session():
    """Kills all processes of a session."""
    return _end_session


class Containers:
    """What a head's and a worker's container start, as plain processes."""

    def __init__(self, folder: Path) -> None:
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        gcs, dashboard = free_port(), free_port()
        self.url = f"http://127.0.0.1:{dashboard}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.env = {
            **inherited,
            "PATH": f"{BIN}:/usr/bin:/bin",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_PORT": str(gcs),
            "RAY_DASHBOARD_PORT": str(dashboard),
        }
        self.worker_env = {**self.env, "RAY_HEAD": f"127.0.0.1:{gcs}"}
        self.processes: list[subprocess.Popen[bytes]] = []
        self._start(folder, "head", self.env, f"--temp-dir={folder / 'h'}", "--num-cpus=0")
        late = time.monotonic() + START_S
        while self.health(head=True) != 0:
            assert time.monotonic() < late, (folder / "head").read_text()
            time.sleep(0.5)
        self._start(folder, "worker", self.worker_env, f"--temp-dir={folder / 'w'}", "--num-cpus=1")

    def health(self, *, head: bool) -> int:
        """Return the exit code of the health check."""
        env = self.env if head else self.worker_env
        return subprocess.run([DOCKER / "healthcheck.sh"], env=env, capture_output=True, check=False).returncode

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a verb by the entrypoint."""
        command = [str(DOCKER / "entrypoint.sh"), *map(str, arguments)]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=250, check=False)

    def close(self) -> None:
        for process in self.processes:
            _end_session(process.pid)

    def _start(self, folder: Path, role: str, env: dict[str, str], *options: str) -> None:
        command = [str(DOCKER / "entrypoint.sh"), role, "--object-store-memory=100000000", *options]
        env = {**env, "RAY_METRICS_PORT": str(free_port()), "RAY_AGENT_PORT": str(free_port())}
        with (folder / role).open("wb") as out:
            started = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=out, start_new_session=True)
        self.processes.append(started)


@pytest.fixture
def containers(short_folder):
    """A head without CPUs and a worker, as the images start them."""
    found = Containers(short_folder())
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def encrypted(short_folder):
    """A head that speaks TLS alone to its processes, and the authority that its certificate is from."""
    authority, folder = pytest.importorskip("trustme").CA(), short_folder()
    issued = authority.issue_cert("localhost", "127.0.0.1", ray_address())
    names = {"RAY_TLS_SERVER_CERT": "cert.pem", "RAY_TLS_SERVER_KEY": "key.pem", "RAY_TLS_CA_CERT": "ca.pem"}
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    found = Nodes(folder, RAY_USE_TLS="1", **{name: str(folder / file) for name, file in names.items()})
    try:
        yield found, issued
    finally:
        found.close()


def ray_address() -> str:
    """Return the address under which this machine's nodes know each other."""
    import ray

    return str(ray.util.get_node_ip_address())


@pytest.fixture(scope="module")
def nodes(short_folder):
    """A head and two further nodes, one CPU each; gone before other tests come, as even idle they take of two cores."""
    pytest.importorskip("ray")
    found = Nodes(short_folder())
    try:
        found.add("first")
        found.add("second")
        yield found
    finally:
        found.close()
