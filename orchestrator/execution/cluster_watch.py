"""Looks after the cluster from a thread of its own, as a call to a cluster that is gone may never return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.errors import ClusterLost

#: Seconds between two looks.
LOOK_S: Final = 2.0
#: Seconds without an answer after which a cluster is taken to be gone. Ray itself would end the process after 60.
ANSWER_S: Final = 30.0


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
    _names: dict[str, str] = field(default_factory=dict)
    _answered_s: float = field(default_factory=time.monotonic)
    _wake: threading.Event = field(default_factory=threading.Event)
    _closed: bool = False

    def start(self) -> ClusterWatch:
        """Begin to look."""
        threading.Thread(target=self._look_on, name="scalaw-cluster-watch", daemon=True).start()
        return self

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._wake.set()

    def look_now(self) -> None:
        """Look at once instead of in a moment."""
        self._wake.set()

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
            self._names |= {node["NodeID"]: _name(node) for node in nodes}
            self.dead_nodes = self.dead_nodes | {node["NodeID"] for node in nodes if not node["Alive"]}
            self._wake.wait(LOOK_S)
            self._wake.clear()


def _name(node: Mapping[str, Any]) -> str:
    return str(node.get("NodeManagerHostname") or node.get("NodeManagerAddress") or node["NodeID"][:8])
