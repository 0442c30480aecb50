"""One process of a program: started in a session of its own, listened to, ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.programs.guardian import VARIABLE, Guardian, end_task
from orchestrator.programs.manifest import Manifest

#: Variables that every program is given, where they are set.
PASSED_ON: Final = ("PATH", "HOME", "LANG", "TMPDIR", "CUDA_VISIBLE_DEVICES")
#: What is remembered of what a program says, however much that is.
TAIL_BYTES: Final = 64 * 1024
#: Characters of it that a failure's row keeps.
TOLD_CHARACTERS: Final = 2_000
#: Exit codes by which a program says: saved and willing to go on; the task is bad.
SAVED: Final = 75
REFUSALS: Final = (2, 78)
LOOK_S: Final = 0.01
#: Longest wait for the end of a killed process, which one that waits for a broken disk outlasts.
KILL_S: Final = 10.0


class Tail:
    """The end of what a process says; all before it is read and forgotten, so that no log fills a disk."""

    def __init__(self, handle: int) -> None:
        self._handle, self._kept = handle, bytearray()
        self._thread = threading.Thread(target=self._read, name="scalaw-log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := os.read(self._handle, TAIL_BYTES):
                self._kept += data
                del self._kept[:-TAIL_BYTES]
        os.close(self._handle)

    def text(self, wait_s: float = 0.2) -> str:
        """Return the last characters, once all that was said before now is read."""
        self._thread.join(wait_s)
        return bytes(self._kept[-4 * TOLD_CHARACTERS :]).decode(errors="replace")[-TOLD_CHARACTERS:].strip()


class ProgramProcess(ABC):
    """A program at one task, however it was started.

    Attributes
    ----------
    pid
        It leads its session.
    log
        The end of what it says.
    """

    pid: int
    log: Tail

    @abstractmethod
    def code(self) -> int | None:
        """Return how it ended, negative where by a signal, or ``None`` while it runs."""

    @abstractmethod
    def signal(self, number: int) -> None:
        """Send it a signal; SIGTERM asks it to finish its step, save and exit with 75."""

    @abstractmethod
    def kill(self) -> None:
        """End its session, and what it has started in others."""

    def wait(self, within_s: float) -> int | None:
        """Return how it ended, or ``None`` where it still runs after so long."""
        late = time.monotonic() + within_s
        while (code := self.code()) is None and time.monotonic() < late:
            time.sleep(LOOK_S)
        return code


class TaskProcess(ProgramProcess):
    """A program at one task, in a process of its own.

    Parameters
    ----------
    command
        argv; ``python`` is this interpreter.
    folder
        Where it runs.
    task
        The task's file; every process that it starts carries the name in its environment.
    environment
        All variables that it is given beside that.
    guardian
        Ends it with this process.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, task: Path, environment: Mapping[str, str], guardian: Guardian
    ) -> None:
        self.task = str(task)
        argv = [sys.executable if command[0] in ("python", "python3") else command[0], *command[1:]]
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                argv,
                cwd=folder,
                env={**environment, VARIABLE: self.task},
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.pid = self._process.pid
        guardian.watch(self.pid)
        self.log = Tail(reading)

    def code(self) -> int | None:
        """See `ProgramProcess`."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """See `ProgramProcess`."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """See `ProgramProcess`."""
        end_task(self.task, self.pid if self.code() is None else None)
        self.wait(KILL_S)


def environment(manifest: Manifest, *, threads: int, ranks: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that a program is given: those of every program, those that its manifest names, its rank."""
    named = (*PASSED_ON, *manifest.env)
    found = {name: os.environ[name] for name in named if name in os.environ}
    found["OMP_NUM_THREADS"] = str(threads)
    home = Path(__file__).parents[2]
    if home.name not in ("site-packages", "dist-packages"):  # a checkout, whose `scalaw.program` it may import
        found["PYTHONPATH"] = os.pathsep.join([*filter(None, [found.get("PYTHONPATH")]), str(home)])
    return {**found, **(ranks or {})}


def told(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
