"""How many gangs a sweep should have: as many as the cluster holds now and the plan can use."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import ray
from ray.autoscaler.sdk import request_resources
from ray.util.client import ray as client

from orchestrator.execution.pool import WorkerNeeds

#: Seconds between two looks at the cluster.
LOOK_S: Final = 2.0


def fitting_gangs(needs: WorkerNeeds) -> int:
    """Return how many gangs the nodes that are alive hold, node by node: a worker does not span two."""
    fitting = (node for node in ray.nodes() if node["Alive"] and needs.labels.items() <= node["Labels"].items())
    workers = (
        min(int(node["Resources"].get(name, 0.0) / amount + 1e-9) for name, amount in needs.bundle.items())
        for node in fitting
    )
    return sum(workers) // needs.world_size


@dataclass
class Elastic:
    """Looks at the cluster now and then, and asks its autoscaler for what the plan can use.

    Parameters
    ----------
    needs
        Of one worker.
    most
        Gangs that the sweep allows; ``None``: as many as there is room for.
    fitting
        Returns how many the cluster holds.
    """

    needs: WorkerNeeds
    most: int | None
    fitting: Callable[[WorkerNeeds], int] = fitting_gangs
    _looked_s: float = field(default=float("-inf"))
    _asked: int = 0

    def capacity(self, usable: int) -> int | None:
        """Return how many gangs there may be, at least one; ``None`` where it is too early to look again.

        Parameters
        ----------
        usable
            Gangs that would have work now.
        """
        if time.monotonic() - self._looked_s < LOOK_S:
            return None
        self._looked_s = time.monotonic()
        fitting = self.fitting(self.needs)
        self._ask(usable if self.most is None else min(usable, self.most))
        return max(1, fitting if self.most is None else min(fitting, self.most))

    def close(self) -> None:
        """Ask the autoscaler for nothing any more."""
        self._ask(0)

    def _ask(self, gangs: int) -> None:
        if gangs == self._asked or client.is_connected():  # Ray Client has no way to the autoscaler
            return
        count, labels = gangs * self.needs.world_size, dict(self.needs.labels)
        request_resources(
            bundles=[self.needs.bundle] * count, bundle_label_selectors=[labels] * count if labels else None
        )
        self._asked = gangs
