"""Ends the processes of a program with the process that started them, in whatever way that ends.

Run as a script it waits for the end of its standard input, which the other process holds open, and then kills all that
was started for a task below a scratch folder, and removes that folder. A death signal (``PR_SET_PDEATHSIG``) would come
with the end of a thread, reach one process alone and miss those that ``torchrun`` starts in sessions of their own. It
is a file by itself, without imports of ours, so that it starts in some milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

#: Variable by which a process knows its task, and we know whose process it is.
VARIABLE = "SCALAW_TASK"
#: Rounds after which what is left is started faster than it can be ended.
ROUNDS = 20
#: Longest that the end of a scratch folder is waited for: states may be large.
CLOSE_S = 30.0


class Guardian:
    """Watches over the tasks below one scratch folder."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={},
        )
        self._process.wait()  # what stays is no child of ours: Ray ends the children of a worker with it

    def watch(self, group: int) -> None:
        """Note a process group, for systems where nobody can see which task a process belongs to."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone, as where somebody killed it: tasks still end by themselves
            self._process.stdin.write(b"%d\n" % group)
            self._process.stdin.flush()

    def close(self) -> None:
        """End all tasks now, and remove the scratch folder."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        late = time.monotonic() + CLOSE_S
        while self._scratch.exists() and time.monotonic() < late:
            time.sleep(0.005)


def end_task(task: str, group: int | None = None) -> None:
    """Kill a process group and every process that carries a task, or one below it, in its environment."""
    for _ in range(ROUNDS):
        if group is not None:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.kill(group, signal.SIGKILL)  # one that was forked a moment ago leads no group yet
        left = carriers(task)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            return


def carriers(task: str) -> list[int]:
    """Return the living processes whose environment names a task; empty where there is no ``/proc``."""
    wanted = f"{VARIABLE}={task}".encode()
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208 (some thousand entries)
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environ:  # noqa: PTH123
                if any(entry.startswith(wanted) for entry in environ.read().split(b"\0")) and _lives(name):
                    found.append(int(name))
    return found


def _lives(pid: str) -> bool:
    with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123
        return stat.read().rpartition(b")")[2].split()[:1] not in ([b"Z"], [b"X"])


def main() -> None:
    """Wait, as nobody's child, then end what is left."""
    if os.fork():
        os._exit(0)
    scratch = sys.argv[1]
    groups = [int(line) for line in sys.stdin.buffer if line.strip().isdigit()]
    for group in groups if not os.path.isdir("/proc") else ():  # noqa: PTH112
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    end_task(f"{scratch}/")
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
