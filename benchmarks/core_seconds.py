"""Wall time and core-seconds of a command and of all that it starts, Ray's daemons and workers included (Linux).

The command gets a session of its own, in which its descendants stay even when they change their process group or lose
their parent. They are looked at every ``EVERY_S``, because Ray's raylet ignores SIGCHLD and the kernel then forgets the
CPU time of its children. Of each process the time since the last look is missed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

EVERY_S = 0.2
#: How long processes that outlive the command are waited for.
LINGER_S = 30.0

#: (pid, start time) → user and system time so far, in seconds.
Usage = dict[tuple[int, int], float]


def run_counted(command: Sequence[str]) -> tuple[float, float]:
    """Run a command, its output on stderr, and return its wall time in seconds and its core-seconds.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    used: Usage = {}
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=sys.stderr, start_new_session=True)
    try:
        while process.poll() is None:
            used |= session_usage(process.pid)
            time.sleep(EVERY_S)
        wall_s = time.perf_counter() - begun
        given_up = time.monotonic() + LINGER_S
        while (left := session_usage(process.pid)) and time.monotonic() < given_up:
            used |= left
            time.sleep(EVERY_S)
    finally:
        for pid, _ in session_usage(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return wall_s, sum(used.values())


def session_usage(session: int) -> Usage:
    """Return the CPU time of each living process of a session."""
    found: Usage = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue  # it has ended in the meantime
        fields = text.rpartition(")")[2].split()  # from the third on; the second, a name in brackets, may hold spaces
        if int(fields[3]) == session and fields[0] != "Z":
            ticks = int(fields[11]) + int(fields[12])
            found[int(entry.name), int(fields[19])] = ticks / os.sysconf("SC_CLK_TCK")
    return found
