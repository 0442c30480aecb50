"""The command `scalaw run` as a person starts it, with a Ray of its own whose processes can be told apart and ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.store import open_store

ROOT = Path(__file__).parents[2]
#: What a process of Ray is called in /proc, by what it does.
KINDS = {
    "gcs": re.compile(rb"[^\0]*/gcs_server\0"),
    "raylet": re.compile(rb"[^\0]*/raylet\0"),
    "agent": re.compile(rb"ray::(DashboardAgent|RuntimeEnvAgent)|.*/(dashboard|runtime_env)/agent"),
    "worker": re.compile(rb"ray::(ActorWorker|.* N=)"),
}
#: What a row must have equal to the bit, however it came about.
MEASURED = ("train_loss", "val_loss", "test_loss", "accuracy", "model_bytes", "density", "bits_per_param", "epsilon")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last thing that it said to a person."""
        return (self.err.strip().splitlines() or [""])[-1]


class LiveRun:
    """A run that is at work, in a session of its own.

    Parameters
    ----------
    folder
        Where what it says goes.
    """

    def __init__(self, sweep: Path, store: Path, *options: str, env: Mapping[str, str] | None = None) -> None:
        self.store, self.out, self.err = store, store.with_suffix(".out"), store.with_suffix(".err")
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scalaw", "run", str(sweep), "--store", str(store), "--no-dashboard", *options],
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def driver(self) -> int | None:
        """The process that leads the sweep: a child of the one that was started; none while it is started anew."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def until_gone(self, within_s: float = 30.0) -> None:
        """Return once none of its processes is left, after it was killed."""
        late = time.monotonic() + within_s
        while left := session(self.pid):
            assert time.monotonic() < late, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
            time.sleep(0.2)

    def pids(self, kind: str) -> list[int]:
        """Return the processes of this run that are of a kind."""
        return [pid for pid in session(self.pid) if kind_of(pid) == kind]

    def kill(self, kind: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to the first process of a kind, once there is one; return its number."""
        self.until(lambda: self.pids(kind))
        pid = self.pids(kind)[0]
        os.kill(pid, number)
        return pid

    def until(self, come: Callable[[], object], within_s: float = 120.0) -> None:
        """Return once something has come about while the run was at work."""
        late = time.monotonic() + within_s
        while not come():
            assert self.process.poll() is None, f"ended with {self.process.returncode} before:\n{self.said}"
            assert time.monotonic() < late, f"not within {within_s:g} s:\n{self.said}"
            time.sleep(0.02)

    def until_rows(self, count: int, within_s: float = 120.0) -> None:
        """Return once so many cells have their rows."""
        self.until(lambda: len(list((self.store / "results").glob("*.parquet"))) >= count, within_s)

    def wait(self, within_s: float = 200.0) -> Ended:
        """Return how it ended; one that hangs is ended, and is an error."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"hangs; so far it said:\n{self.said}") from None
        finally:
            self.end()
        return Ended(code, self.out.read_text(), self.said)

    def end(self) -> None:
        """End what is left of it."""
        for pid in session(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    @property
    def said(self) -> str:
        """What it has told a person."""
        return self.err.read_text(errors="replace")


@contextmanager
def live(sweep: Path, store: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[LiveRun]:
    """A run that is surely gone at the end."""
    run = LiveRun(sweep, store, *options, env=env)
    try:
        yield run
    finally:
        run.end()


def session(leader: int) -> list[int]:
    """Return the living processes of a session; Ray's are in process groups of their own."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                if os.getsid(int(path.name)) == leader and (path / "cmdline").read_bytes():
                    found.append(int(path.name))
    return sorted(found)


def kind_of(pid: int) -> str | None:
    """Return what a process of Ray does."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    return next((kind for kind, pattern in KINDS.items() if pattern.match(command)), None)


def measured(store: Path, columns: Sequence[str] = MEASURED) -> dict[str, tuple[object, ...]]:
    """Return what each cell of a store measured, or why it failed, by its id; no cell has two rows."""
    rows = open_store(str(store)).results().to_pylist()
    found = {
        row["cell_id"]: ("failed", row["error"]) if row["status"] == "failed" else tuple(row[c] for c in columns)
        for row in rows
    }
    assert len(found) == len(rows)
    return found
