"""Looks after the cluster from a thread of its own, as a call to a cluster that is gone may never return."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.errors import ClusterLost
from orchestrator.execution import guard

#: Seconds between two looks.
LOOK_S: Final = 2.0
#: Seconds without an answer after which a cluster is taken to be gone. Ray itself would end the process after 60.
ANSWER_S: Final = 30.0
#: Seconds in which a node's raylet takes a connection, or is gone.
KNOCK_S: Final = 2.0
#: Seconds after which a driver that does not look at a cluster that is gone is taken to be stuck in a call to it.
STUCK_S: Final = 5.0


@dataclass
class ClusterWatch:
    """Which nodes are gone, and whether the cluster answers at all.

    Parameters
    ----------
    nodes
        Asks the cluster for its nodes, as ``ray.nodes`` does; may block for ever.
    node_of_driver
        Ray's id of the node that this process is attached to.
    head_has_ended
        Whether processes of a Ray of our own are gone; always false for one that we joined.
    """

    nodes: Callable[[], Sequence[Mapping[str, Any]]]
    node_of_driver: str
    head_has_ended: Callable[[], bool] = lambda: False
    dead_nodes: frozenset[str] = frozenset()
    _nodes: Sequence[Mapping[str, Any]] = ()
    _names: dict[str, str] = field(default_factory=dict)
    _suspects: set[str] = field(default_factory=set)
    _answered_s: float = field(default_factory=time.monotonic)
    _checked_s: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _wake: threading.Event = field(default_factory=threading.Event)
    _closed: bool = False

    def start(self) -> ClusterWatch:
        """Begin to look."""
        threading.Thread(target=self._look_on, name="scalaw-cluster-watch", daemon=True).start()
        threading.Thread(target=self._find_stuck, name="scalaw-cluster-dog", daemon=True).start()
        return self

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._wake.set()

    def suspect(self, node_ids: Iterable[str]) -> None:
        """Look at once whether some nodes, on which a worker has died, are still there.

        A machine that has lost its power is alive to Ray until its health checks have failed for 15 s; that no raylet
        takes a connection there any more is seen at once.
        """
        with self._lock:
            self._suspects.update(node_ids)
        self._wake.set()

    def alive(self) -> list[Mapping[str, Any]]:
        """Return the nodes that were there at the last look, which is seconds ago at most; this waits for nothing."""
        return [node for node in self._nodes if node["Alive"] and node["NodeID"] not in self.dead_nodes]

    def name_of(self, node_id: str) -> str:
        """Return a node's name for people."""
        return self._names.get(node_id, node_id[:8])

    def check(self) -> None:
        """Return where the cluster is there.

        Raises
        ------
        ClusterLost
            If it does not answer, or the part of it that this process hangs on has ended.
        """
        self._checked_s = time.monotonic()
        self._check()

    def _check(self) -> None:
        if self.head_has_ended():
            raise ClusterLost("Ray on this machine has ended: one of its processes was killed or crashed")
        if self.node_of_driver in self.dead_nodes:
            raise ClusterLost("the Ray node that this run is attached to has ended")
        silent_s = time.monotonic() - self._answered_s
        if silent_s > ANSWER_S:
            raise ClusterLost(
                f"the Ray cluster has not answered for {silent_s:.0f} s: its head is gone or out of reach"
            )

    def _look_on(self) -> None:
        while not self._closed:
            try:
                nodes = self.nodes()
            except Exception:  # whatever it is, it is no answer; `check` says so once it has lasted
                self._wake.wait(LOOK_S)
                self._wake.clear()
                continue
            self._answered_s = time.monotonic()
            self._nodes = nodes
            self._names |= {node["NodeID"]: _name(node) for node in nodes}
            dead = {node["NodeID"] for node in nodes if not node["Alive"]}
            with self._lock:
                suspects, self._suspects = self._suspects, set()
            dead |= {node["NodeID"] for node in nodes if node["NodeID"] in suspects and not _takes_a_connection(node)}
            self.dead_nodes |= dead
            self._wake.wait(LOOK_S)
            self._wake.clear()

    def _find_stuck(self) -> None:
        """End a driver that waits for an answer of a cluster that is gone: Ray would, after a minute, with exit 1."""
        while not self._closed:
            time.sleep(1.0)
            try:
                self._check()
            except ClusterLost as lost:
                if time.monotonic() - self._checked_s > STUCK_S and not self._closed:
                    guard.leave(str(lost))


def _takes_a_connection(node: Mapping[str, Any]) -> bool:
    try:
        with socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), KNOCK_S):
            return True
    except OSError:
        return False


def _name(node: Mapping[str, Any]) -> str:
    return str(node.get("NodeManagerHostname") or node.get("NodeManagerAddress") or node["NodeID"][:8])
