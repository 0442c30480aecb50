"""The other end of the warm interpreter: starts it, asks for children, hears how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from orchestrator.programs import forker
from orchestrator.programs.guardian import VARIABLE, Guardian, end_task
from orchestrator.programs.process import KILL_S, ProgramProcess, Tail

#: Longest that imports may take, on a cold disk.
IMPORT_S: Final = 600.0
#: Longest that a fork may take.
FORK_S: Final = 30.0


class CannotPreload(Exception):
    """A module could not be imported, with the end of what was said."""


class Preloaded:
    """An interpreter that has imported what a program names; children of it start in a fraction of a second.

    Parameters
    ----------
    modules
        What is imported, once.
    folder
        The program's, which is on the path as a script's own folder is.
    environment
        Variables that all of its children have.
    scratch
        Folder below which the guardian ends everything.

    Raises
    ------
    CannotPreload
        If one can't be imported.
    """

    def __init__(
        self, modules: Sequence[str], folder: Path, environment: Mapping[str, str], scratch: Path, guardian: Guardian
    ) -> None:
        self.folder, self._guardian = folder, guardian
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, writing = os.pipe()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-P", forker.__file__, str(its.fileno()), str(folder), *modules],
                cwd=folder,
                env={**environment, VARIABLE: f"{scratch}/preload"},
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )
        os.close(writing)
        guardian.watch(self._process.pid)
        self.log, self._channel = Tail(reading), ours
        self._ended: dict[int, int] = {}
        self._said: list[dict[str, Any]] = []
        if self._heard("ready", IMPORT_S) is None:
            said = self.log.text().splitlines()
            self.close()
            raise CannotPreload(f"preload: {said[-1] if said else 'it ended without a word'}")

    def start(self, argv: Sequence[str], task: Path, environment: Mapping[str, str]) -> ForkedProcess:
        """Return a new process that runs a script.

        Raises
        ------
        CannotPreload
            If the warm interpreter is gone.
        """
        reading, writing = os.pipe()
        request = {
            "argv": list(argv),
            "folder": str(self.folder),
            "environment": {**environment, VARIABLE: str(task)},
        }
        try:
            socket.send_fds(self._channel, [json.dumps(request).encode()], [writing])
            told = self._heard("pid", FORK_S)
        except OSError:
            told = None
        finally:
            os.close(writing)
        if told is None:
            os.close(reading)
            raise CannotPreload("preload: the warm interpreter is gone")
        self._guardian.watch(told["pid"])
        return ForkedProcess(self, told["pid"], str(task), Tail(reading))

    def code(self, pid: int) -> int | None:
        """Return how a child ended, or ``None`` while it runs."""
        self._hear(0.0)
        if pid not in self._ended and self._process.poll() is not None:
            return -signal.SIGKILL  # nobody is left who would know
        return self._ended.get(pid)

    def has_ended(self, pid: int) -> bool:
        """Return whether a child is known to have ended, so that its number may be another process's by now."""
        return pid in self._ended

    def close(self) -> None:
        """End it, and with it nothing else."""
        self._channel.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _heard(self, what: str, within_s: float) -> dict[str, Any] | None:
        late = time.monotonic() + within_s
        while True:
            for k, message in enumerate(self._said):
                if what in message:
                    return self._said.pop(k)
            if time.monotonic() > late or not self._hear(0.1):
                return None

    def _hear(self, within_s: float) -> bool:
        """Take what was said meanwhile; return whether the other end is there."""
        self._channel.settimeout(within_s or 1e-6)
        while True:
            try:
                data = self._channel.recv(forker.MOST_BYTES)
            except (TimeoutError, BlockingIOError):
                return True
            except OSError:
                return False
            if not data:
                return False
            message = json.loads(data)
            if "ended" in message:
                self._ended[message["ended"]] = message["code"]
            else:
                self._said.append(message)
                return True


class ForkedProcess(ProgramProcess):
    """A child of a warm interpreter at one task."""

    def __init__(self, origin: Preloaded, pid: int, task: str, log: Tail) -> None:
        self._origin, self.pid, self.task, self.log = origin, pid, task, log

    def code(self) -> int | None:
        """See `ProgramProcess`."""
        return self._origin.code(self.pid)

    def signal(self, number: int) -> None:
        """See `ProgramProcess`."""
        with suppress(ProcessLookupError):
            if self.code() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """See `ProgramProcess`."""
        self.code()
        end_task(self.task, None if self._origin.has_ended(self.pid) else self.pid)
        self.wait(KILL_S)
