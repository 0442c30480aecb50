"""A real Ray cluster of several nodes on this machine: processes of their own, token authentication, a folder each."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
#: Looks like a secret and is one: no log, row, argument or metadata may hold it.
CANARY = "canary" + secrets.token_hex(24)
START_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_session(session: int) -> None:
    """Kill all processes of a session; Ray's are in process groups of their own."""
    for one in [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]:
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(one) == session:
                os.kill(one, signal.SIGKILL)


class Nodes:
    """The nodes, by name; ``head`` is there from the start.

    Parameters
    ----------
    options
        Of the head, after ``ray start``.
    gcs_port
        Its port; a free one where it is left out.
    changes
        Go to the environment of all.
    """

    def __init__(self, folder: Path, *options: str, gcs_port: int | None = None, **changes: str) -> None:
        self.folder, self.token = folder, CANARY
        token = folder / "token"
        token.write_text(CANARY)
        token.chmod(0o600)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.env = {**inherited, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), **changes}
        self.gcs_port, self.client_port, dashboard = gcs_port or free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{dashboard}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._start(
            "head",
            *("--head", f"--port={self.gcs_port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
            *(f"--ray-client-server-port={self.client_port}", *options),
        )
        self._await(lambda: self.get("/api/version") is not None, "the dashboard answers")
        self._await(self._ids, "the head is a node")
        self.ids = {"head": self._ids().pop()}

    def add(self, name: str, *options: str) -> None:
        """Start a further node and wait until the cluster has it."""
        self._start(name, f"--address=127.0.0.1:{self.gcs_port}", *options)
        self._await(lambda: self._ids() - set(self.ids.values()), f"{name} has joined")
        (self.ids[name],) = self._ids() - set(self.ids.values())

    def kill(self, name: str, *, wait: bool = True) -> None:
        """End a node and all its workers with SIGKILL, and wait until the cluster knows, unless told otherwise."""
        end_session(self.processes.pop(name).pid)
        if not wait:
            return
        self._await(lambda: self.ids[name] not in self._ids(), f"{name} is gone")

    def alive(self) -> int:
        """Return how many nodes there are."""
        return len(self._ids())

    def _ids(self) -> set[str]:
        """Return the ids of the nodes that live, as GCS knows them; the dashboard's summary lags behind."""
        listed: Any = self.get("/api/v0/nodes?limit=1000")
        return {node["node_id"] for node in listed["data"]["result"]["result"] if node["state"] == "ALIVE"}

    def get(self, path: str, token: str | None = CANARY) -> Any:
        """Return the JSON at a path of the dashboard, or None where nothing answers yet."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def metrics(self) -> str:
        """Return what all nodes export for Prometheus; one that starts or is gone exports nothing."""
        summary: Any = self.get("/nodes?view=summary")
        found = []
        for node in summary["data"]["summary"]:
            url = f"http://127.0.0.1:{node['raylet'].get('metricsExportPort')}/metrics"
            with (
                suppress(urllib.error.URLError, http.client.InvalidURL),
                urllib.request.urlopen(url, timeout=10) as answer,
            ):
                found.append(answer.read().decode())
        return "\n".join(found)

    def scalaw(self, *arguments: object, **changes: Any) -> subprocess.CompletedProcess[str]:
        """Call the command line from outside the cluster, in a folder of its own."""
        return self.call(BIN / "scalaw", *arguments, **changes)

    def call(self, *command: object, **changes: Any) -> subprocess.CompletedProcess[str]:
        """Run a command likewise."""
        cwd = changes.pop("cwd", self.folder / "laptop")
        cwd.mkdir(exist_ok=True)
        return subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**self.env, **changes},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def close(self) -> None:
        for process in self.processes.values():
            end_session(process.pid)

    def _start(self, name: str, *options: str) -> None:
        folder, scratch = self.folder / name, self.folder / f"r{len(self.processes)}"
        folder.mkdir()
        command = [
            *(str(BIN / "ray"), "start", "--block", "--num-cpus=1", "--disable-usage-stats", f"--temp-dir={scratch}"),
            *(f"--dashboard-agent-listen-port={free_port()}", "--object-store-memory=100000000", *options),
        ]
        with (folder / "out").open("wb") as out:
            # no PATH of ours: a cluster's machines have their own
            self.processes[name] = subprocess.Popen(
                command,
                cwd=folder,
                env={**{k: v for k, v in self.env.items() if not k.startswith("COVERAGE")}, "PATH": "/usr/bin:/bin"},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _await(self, come: Any, what: str) -> None:
        late = time.monotonic() + START_S
        while not come():
            if time.monotonic() > late:
                said = "\n".join((f / "out").read_text() for f in self.folder.iterdir() if (f / "out").exists())
                raise TimeoutError(f"after {START_S:g} s it is not so that {what}:\n{said[-3000:]}")
            time.sleep(0.3)
