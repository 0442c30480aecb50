"""The pool: persistent, named worker actors, replaced when they die."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ray
from ray.actor import ActorHandle

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from workers.actor import WorkerActor


@dataclass(frozen=True, kw_only=True)
class WorkerNeeds:
    """What one worker asks of the cluster."""

    cpus: int
    gpus: float


@dataclass
class Pool:
    """Workers of one sweep.

    Guarantees: a worker runs one stage at a time; it answers to ``scalaw-worker-K`` in Ray's dashboard; a dead worker's
    name goes to its replacement.
    """

    context: RunContext
    store_uri: str
    needs: WorkerNeeds
    namespace: str
    workers: dict[str, ActorHandle[Any]] = field(default_factory=dict)
    generation: int = 0

    def start(self, count: int) -> dict[Any, str]:
        """Start workers; return the reference that each answers on once it is warm, with its name."""
        return dict(self._start(f"scalaw-worker-{k}") for k in range(count))

    def replace(self, name: str) -> tuple[Any, str]:
        """Start a new worker in the place of a dead one; return its warm-up reference and its name."""
        ray.kill(self.workers.pop(name))
        return self._start(name)

    def submit(self, name: str, chain: list[Stage], parent: Any, attempt: int) -> tuple[Any, Any]:
        """Send a chain of stages to a worker; return the references of its result and of its state."""
        references: Any = self.workers[name].run.remote(chain, parent, attempt)
        return references[0], references[1]

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            ray.kill(worker)
        self.workers.clear()

    def _start(self, name: str) -> tuple[Any, str]:
        self.generation += 1
        actor = WorkerActor.options(
            name=name,
            namespace=f"{self.namespace}-{self.generation}",  # a dead actor's name may still be taken for a moment
            num_cpus=self.needs.cpus,
            num_gpus=self.needs.gpus,
        ).remote(name, self.context, self.store_uri, self.needs.cpus)
        self.workers[name] = actor
        return actor.ready.remote(), name
