"""Keeps a run from going down with Ray: the command that a person started leads the driver as a process of its own.

Ray's C++ parts end the process that they live in where the raylet beside it stops, or where its head is gone for a
minute (``_Exit(1)``; no setting and no handler is in the way of it). Exit 1 would say that cells have failed. So the
person's process stays outside, without Ray: it passes signals on, knows from the driver's own word how it ended, and
starts another one where it was ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, Final

#: Environment variable by which a driver knows the socket to the process that leads it.
VARIABLE: Final = "SCALAW_GUARD_FD"
#: Signals that are passed on.
PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED: Final = 130
UNREACHABLE: Final = 3

#: Process groups that were started and are not to outlive this process.
_groups: list[int] = []
_by_itself = False
_leader: socket.socket | None = None


def begin() -> None:
    """Note that this process is the command line and not a program that calls it; a led one begins to listen."""
    global _by_itself, _leader
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        _by_itself = True
        return
    _leader = socket.socket(fileno=int(number))
    _leader.set_inheritable(False)
    threading.Thread(target=_end_with, args=(_leader,), name="scalaw-guard", daemon=True).start()


def wanted() -> bool:
    """Return whether a run should be led from outside."""
    return _by_itself and hasattr(os, "fork")


def tell(**what: Any) -> None:
    """Let the process that leads this one know something; without one that is nothing to do."""
    if _leader is not None:
        _leader.sendall(json.dumps(what).encode() + b"\n")


def owns(group: int) -> None:
    """Note a process group that ends with this process, in whatever way that does.

    Ray's agents outlive a driver that is killed: each waits for the end of a pipe that the other one holds.
    """
    _groups.append(group)
    tell(groups=_groups)


def end_what_is_left() -> None:
    """End what was started and has not ended by itself."""
    _end_groups(_groups)
    _groups.clear()
    tell(groups=_groups)


def leave(sentence: str) -> None:
    """End this process at once, stuck in a call to a cluster that is gone; where nobody leads it, nothing."""
    if _leader is not None:
        tell(lost=sentence)
        os._exit(UNREACHABLE)


def lead() -> int:
    """Run this process's own command again in a driver's process; return how it ended.

    Returns
    -------
    int
        The driver's exit code, by its own word. A driver that was ended is started anew where Ray was of its own
        making, once and again as long as cells were measured in between.
    """
    before: int | None = None
    while True:
        told, code = _Led().run()
        if "end" in told:
            return int(told["end"])
        _end_groups(told.get("groups", ()))
        if told.get("stopping"):
            _say("interrupted; run the same command again to go on")
            return INTERRUPTED
        if "left" not in told:
            _say(f"the driver was ended before it had begun (exit {code}): run the same command again")
            return UNREACHABLE
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            _say(
                f"the driver was ended by {signal.Signals(-code).name}, as where memory runs out; what is finished is "
                "kept: run the same command again to go on"
            )
            return UNREACHABLE
        if not told["ours"] or told["left"] == before:
            why = told.get("lost", "Ray has gone away and ended the driver")
            _say(f"{why}; what is finished is kept: run the same command again to go on")
            return UNREACHABLE
        before = told["left"]
        _say("Ray on this machine has ended, and the driver with it: starting Ray anew")


class _Led:
    """A driver's process, as long as it runs."""

    def run(self) -> tuple[dict[str, Any], int]:
        """Return the last of each thing that it told, and its exit code."""
        ours, its = socket.socketpair()
        with its:
            self.process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env={**os.environ, VARIABLE: str(its.fileno())},
                pass_fds=[its.fileno()],
                process_group=0,  # what goes to our group reaches it once, from us
            )
        told: dict[str, Any] = {}
        before = {number: signal.signal(number, self._pass_on) for number in PASSED_ON}
        try:
            with ours, ours.makefile("rb") as lines:
                for line in lines:
                    told |= json.loads(line)
                return told, self.process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.process.send_signal(number)


def _end_with(leader: socket.socket) -> None:
    """End this process with the one that leads it: who kills that one means the run."""
    with suppress(ConnectionResetError):  # its end, too, where it was killed before it had read what it was told
        leader.recv(1)
    _end_groups(_groups)
    os.kill(os.getpid(), signal.SIGKILL)


def _end_groups(groups: Iterable[int]) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _say(sentence: str) -> None:
    print(f"scalaw: {sentence}", file=sys.stderr, flush=True)
