"""How many gangs a sweep should have: as many as the cluster holds now and the plan can use."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.autoscaler.sdk import request_resources
from ray.util.client import ray as client

from orchestrator.execution.pool.protocol import WorkerNeeds

#: Seconds between two looks at the cluster.
LOOK_S: Final = 2.0


def fitting_gangs(
    needs: WorkerNeeds, beside: Sequence[WorkerNeeds] = (), nodes: Sequence[Mapping[str, Any]] | None = None
) -> int:
    """Return how many gangs the nodes that are alive hold, node by node: a worker does not span two.

    Parameters
    ----------
    needs
        Of a worker that trains.
    beside
        Of each worker that evaluates: it takes the place where least training is lost. Where one has no place, nothing
        fits, since training alone yields no row.
    nodes
        Those of the cluster, as ``ray.nodes`` tells of them; ``None`` asks for them, which waits for an answer.
    """
    alive = [node for node in (ray.nodes() if nodes is None else nodes) if node["Alive"]]
    free = [dict(node["Resources"]) for node in alive]
    suited = [needs.labels.items() <= node["Labels"].items() for node in alive]

    def lost(k: int, bundle: Mapping[str, float]) -> int:
        less = {name: amount - bundle.get(name, 0.0) for name, amount in free[k].items()}
        return _workers(free[k], needs) - _workers(less, needs) if suited[k] else 0

    for other in beside:
        places = [k for k in range(len(free)) if _workers(free[k], other)]
        if not places:
            return 0
        taken = free[min(places, key=lambda k: lost(k, other.bundle))]
        for name, amount in other.bundle.items():
            taken[name] -= amount
    return sum(_workers(there, needs) for there, fits in zip(free, suited, strict=True) if fits) // needs.world_size


def _workers(there: dict[str, float], needs: WorkerNeeds) -> int:
    return min(int(there.get(name, 0.0) / amount + 1e-9) for name, amount in needs.bundle.items())


@dataclass
class Elastic:
    """Looks at the cluster now and then, and asks its autoscaler for what the plan can use.

    Parameters
    ----------
    needs
        Of one worker.
    most
        Gangs that the sweep allows; ``None``: as many as there is room for.
    beside
        Needs of each worker that evaluates and compresses.
    fitting
        Returns how many gangs the cluster holds beside those workers.
    """

    needs: WorkerNeeds
    most: int | None
    beside: Sequence[WorkerNeeds] = ()
    fitting: Callable[[WorkerNeeds, Sequence[WorkerNeeds]], int] = fitting_gangs
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
        fitting = self.fitting(self.needs, self.beside)
        self._ask(usable if self.most is None else min(usable, self.most))
        return max(1, fitting if self.most is None else min(fitting, self.most))

    def close(self) -> None:
        """Ask the autoscaler for nothing any more."""
        self._ask(0)

    def _ask(self, gangs: int) -> None:
        if gangs == self._asked or client.is_connected():  # Ray Client has no way to the autoscaler
            return
        count, labels = gangs * self.needs.world_size, dict(self.needs.labels)
        beside = [other.bundle for other in self.beside] if gangs else []
        selectors = [labels] * count + [{}] * len(beside) if labels else None
        request_resources(bundles=[self.needs.bundle] * count + beside, bundle_label_selectors=selectors)
        self._asked = gangs
