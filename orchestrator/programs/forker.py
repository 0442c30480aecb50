"""A warm interpreter that has imported what a program needs and forks one child a task.

Run as a script. It is a file by itself, without imports of ours, so that a child finds in memory what the program
preloads and nothing else.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from typing import Any

#: Bytes of the longest message: a task's variables and words.
MOST_BYTES = 1 << 20


def serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork a child for each request and tell how children end; return a request in the child, nothing at the end."""
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    while True:
        waited: list[Any] = [channel, woken]
        ready, _, _ = select.select(waited, [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_of_ends(channel)
        if channel in ready:
            data, handles, _, _ = socket.recv_fds(channel, MOST_BYTES, 1)
            if not data:
                return None
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                channel.close()
                request: dict[str, Any] = json.loads(data)
                _become(request, handles[0])
                return request
            os.close(handles[0])
            channel.send(json.dumps({"pid": pid}).encode())


def _tell_of_ends(channel: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        channel.send(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}).encode())


def _become(request: dict[str, Any], log: int) -> None:
    """Make this child what a process of its own would be."""
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for handle, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(handle, number)
    os.close(nothing)
    os.close(log)
    sys.argv = request["argv"]
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()  # else all children draw what the first one draws, which no process of its own does


def main() -> None:
    """Import what is asked for, then serve; a child goes on as the program."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    sys.path.insert(0, sys.argv[2])
    for module in sys.argv[3:]:
        importlib.import_module(module)
    channel.send(b'{"ready": true}')
    request = serve(channel)
    if request is not None:
        runpy.run_path(os.path.join(request["folder"], request["argv"][0]), run_name="__main__")  # noqa: PTH118


if __name__ == "__main__":
    main()
