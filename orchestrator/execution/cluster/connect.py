"""Starts Ray on this machine, or joins a cluster that is there; what needs Ray's private parts stands here.

Of these there are five, each with the public way that was tried first: the arguments that keep Ray on loopback
(``_node_ip_address``; ``ray start`` has no such flag), the switch that makes it stay there, the processes of a Ray of
our own (`ray.nodes` blocks for ever once the GCS is gone), the group that they are started in (no argument of
``ray.init`` does that), and the function that prints what a raylet has to say (``log_to_driver`` does not reach it).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import ray
from ray._private import ray_constants, services, worker

from orchestrator.errors import BadInput
from orchestrator.execution import guard
from orchestrator.execution.cluster.address import knock, token_refused
from orchestrator.execution.cluster.ray_needs import check_token, refusal, surroundings
from orchestrator.execution.signals import undisturbed

LOOPBACK = "127.0.0.1"
#: Room for hand-over of states on a cluster that we start; states are small and dropped early.
OBJECT_STORE_BYTES = 512 * 1024**2


@contextlib.contextmanager
def connected(address: str | None, *, cpus: int, dashboard: bool) -> Iterator[dict[str, Any]]:
    """Connect this process to Ray for the length of a ``with`` block.

    Parameters
    ----------
    address
        ``None`` starts a cluster on this machine, bound to 127.0.0.1 and with token authentication (I12);
        anything else is joined.
    cpus
        Size of a cluster that we start; it finds this machine's GPUs by itself.
    dashboard
        Whether a cluster that we start serves the Ray dashboard.

    Yields
    ------
    dict
        ``dashboard_url``, and ``ours``: whether Ray was started here and may be started anew.

    Raises
    ------
    Unreachable
        If there is no cluster at the address or it refuses us.
    """
    if ray.is_initialized():
        yield {"dashboard_url": None, "ours": False}
        return
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if address is None and mode != "token":
        raise BadInput(f"RAY_AUTH_MODE is {mode!r}, but a cluster started here uses token authentication: unset it")
    if address is not None:
        knock(address)
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        settings |= {
            "num_cpus": cpus,
            "include_dashboard": dashboard,
            "dashboard_host": LOOPBACK,
            "_node_ip_address": LOOPBACK,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    with contextlib.ExitStack() as until_the_end:
        if address is None:
            settings |= until_the_end.enter_context(surroundings())
            until_the_end.enter_context(_on_loopback())
        elif mode == "token":
            check_token(made_here=False)
        until_the_end.enter_context(_in_groups_of_their_own())
        aside: list[str] = []
        try:
            with _said_aside(aside) if address else contextlib.nullcontext():
                context = ray.init(address or "local", **settings)
        except Exception as failure:  # Ray says some of it with a bare Exception, a start-up time-out for one
            if "InvalidAuthToken" in "".join(aside):
                raise token_refused(str(address)) from failure
            raise refusal(failure, address) from failure
        try:
            with _unsaid():
                yield {"dashboard_url": context.dashboard_url, "ours": address is None}
        finally:
            with undisturbed():  # half shut down, Ray ends the process with code 1 as soon as it meets an old reference
                ray.shutdown()
            guard.end_what_is_left()


def head_has_ended() -> bool:
    """Return whether a Ray that this process has started has lost its head; of one that it joined it knows nothing."""
    node = worker._global_node
    needed = (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET)
    return node is not None and any(kind in needed for kind, _ in node.dead_processes())


@contextlib.contextmanager
def _in_groups_of_their_own() -> Iterator[None]:
    """Let Ray's processes be no part of this process's group.

    A signal to the whole group (a terminal that is closed, ``timeout``, ``scancel --full``) would end them before the
    driver can let workers keep their states; so it reaches the driver alone.
    """
    before = services.ConsolePopen

    def started(*arguments: Any, **keywords: Any) -> Any:
        process = before(*arguments, process_group=0, **keywords)
        guard.owns(process.pid)
        return process

    services.ConsolePopen = started  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        services.ConsolePopen = before  # type: ignore[misc]


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """Let Ray print nothing about processes that ended.

    Where a worker or the raylet dies it puts forty lines of its log into the middle of ours; the driver says in one
    what it means for the sweep, and the log itself lies in Ray's folder.
    """
    before = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *arguments, **keywords: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


@contextlib.contextmanager
def _said_aside(lines: list[str]) -> Iterator[None]:
    """Collect what is written to stderr: Ray's C++ parts repeat themselves each second while they are refused."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside, os.fdopen(os.dup(2), "wb") as kept:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept.fileno(), 2)
            aside.seek(0)
            lines += aside.read().decode(errors="replace").splitlines(keepends=True)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Let Ray's processes listen on 127.0.0.1 alone (I12).

    On Linux Ray takes 127.0.0.1 as a node's address for a mistake, puts an outer address there and listens on all of
    them. Where it is told that this is no cluster of several machines, as on other systems, it stays on loopback.
    """
    variable, before = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    set_before = os.environ.get(variable)
    os.environ[variable], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if set_before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = set_before
