"""The pool: persistent, named worker actors, alone or in gangs, replaced when they die."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.actor import ActorHandle
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Role, Stage
from workers.actor import WorkerActor
from workers.messages import WorkOrder
from workers.rank import Rank

#: What workers are called in Ray's dashboard, before their number.
TITLES: Final[dict[Role, str]] = {"train": "scalaw-worker", "score": "scalaw-cpu-worker"}


@dataclass(frozen=True, kw_only=True)
class WorkerNeeds:
    """What one worker asks of the cluster, and how many of them train a cell together."""

    cpus: int
    gpus: float
    world_size: int = 1
    checkpoint_interval_s: float = float("inf")
    memory_bytes: int | None = None
    accelerator: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def bundle(self) -> dict[str, float]:
        """Ray's resources of one worker, as placement groups and the autoscaler take them."""
        found: dict[str, float] = {"CPU": float(self.cpus)}
        if self.gpus:
            found["GPU"] = self.gpus
        if self.memory_bytes:
            found["memory"] = float(self.memory_bytes)
        if self.accelerator:
            found[f"accelerator_type:{self.accelerator}"] = 0.001
        return found


@dataclass(frozen=True)
class Gang:
    """Workers that train a cell together, rank 0 first; mostly one alone."""

    name: str
    role: Role
    ranks: tuple[ActorHandle[Any], ...]
    ready: tuple[Any, ...]


@dataclass
class Pool:
    """The gangs of one sweep.

    Guarantees: a gang runs one chain of stages at a time, in the order of sending; its workers answer to
    ``scalaw-worker-K`` (``scalaw-worker-K-rank-R`` in a gang of several, ``scalaw-cpu-worker-K`` where it only
    evaluates and compresses) in Ray's dashboard; ranks of a gang share a placement group, and a rebuilt gang meets
    anew, on another port.
    """

    context: RunContext
    store_uri: str
    needs: Mapping[Role, WorkerNeeds]
    namespace: str
    gangs: dict[str, Gang] = field(default_factory=dict)
    generation: int = 0
    _places: dict[str, PlacementGroup] = field(default_factory=dict)

    def size(self, role: Role) -> int:
        """Return how many gangs of a role there are."""
        return sum(gang.role == role for gang in self.gangs.values())

    def start(self, role: Role, count: int) -> list[Gang]:
        """Start so many further gangs; each is warm once all its ``ready`` references can be got."""
        names = (f"{TITLES[role]}-{k}" for k in range(len(self.gangs) + count))
        return [self._start(name, role) for name in [name for name in names if name not in self.gangs][:count]]

    def drop(self, name: str) -> None:
        """Give a gang up, and what is reserved for it."""
        self._kill(self.gangs.pop(name))
        if name in self._places:
            remove_placement_group(self._places.pop(name))

    def replace(self, name: str) -> Gang:
        """Start a new gang in the place of one that lost a rank; the ranks left would wait for it in vain."""
        lost = self.gangs.pop(name)
        self._kill(lost)
        return self._start(name, lost.role)

    def submit(self, name: str, orders: list[WorkOrder], parents: list[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Send work to a gang; return the references of each rank's results, and of the states on rank 0."""
        options = {"num_returns": 1 + len(orders), "name": _task_name(orders)}
        sent: list[Any] = [rank.run.options(**options).remote(orders, *parents) for rank in self.gangs[name].ranks]
        return tuple(results for results, *_ in sent), tuple(sent[0][1:])

    def keep(self, name: str, stage: Stage, state: Any) -> Any:
        """Let a gang write a state to the checkpoints; return the reference to wait for."""
        return self.gangs[name].ranks[0].keep.remote(stage, state)

    def stop(self) -> None:
        """End all workers."""
        for gang in self.gangs.values():
            self._kill(gang)
        self.gangs.clear()
        for place in self._places.values():
            remove_placement_group(place)
        self._places.clear()

    def _start(self, name: str, role: Role) -> Gang:
        self.generation += 1
        needs = self.needs[role]
        size = needs.world_size
        ranks = tuple(self._actor(name, needs, Rank(k, size)) for k in range(size))
        place = [ranks[0].meet.remote()] if size > 1 else []  # in a list, so that ranks wait for it themselves
        gang = Gang(name, role, ranks, tuple(rank.join.remote(place) for rank in ranks))
        self.gangs[name] = gang
        return gang

    def _actor(self, gang: str, needs: WorkerNeeds, rank: Rank) -> ActorHandle[Any]:
        name = f"{gang}-rank-{rank.index}" if rank.world_size > 1 else gang
        options: dict[str, Any] = {}
        if rank.world_size > 1:
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(self._place(gang, needs), rank.index)
        actor: ActorHandle[Any] = WorkerActor.options(
            name=name,
            namespace=f"{self.namespace}-{self.generation}",  # a dead actor's name may still be taken for a moment
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory_bytes,
            accelerator_type=needs.accelerator,
            label_selector=dict(needs.labels) or None,
            **options,
        ).remote(
            name,
            self.context,
            self.store_uri,
            threads=needs.cpus,
            on_gpu=needs.gpus > 0,
            rank=rank,
            checkpoint_interval_s=needs.checkpoint_interval_s,
        )
        return actor

    def _place(self, gang: str, needs: WorkerNeeds) -> PlacementGroup:
        """Return where a gang's ranks run, as near to each other as the cluster allows."""
        if gang not in self._places:
            count, labels = needs.world_size, dict(needs.labels)
            self._places[gang] = placement_group(
                [needs.bundle] * count, strategy="PACK", bundle_label_selector=[labels] * count if labels else None
            )
        return self._places[gang]

    @staticmethod
    def _kill(gang: Gang) -> None:
        for rank in gang.ranks:
            ray.kill(rank)


def _task_name(orders: list[WorkOrder]) -> str:
    """Return what Ray's dashboard shows while a gang is at it."""
    chain = orders[0].chain
    kinds = " + ".join(dict.fromkeys(stage.kind for stage in chain))
    more = f" and {len(orders) - 1} more" if len(orders) > 1 else ""
    return f"{kinds} N={chain[0].shape.params_non_embedding:,} seed {chain[0].seed}{more} {chain[0].id[:8]}"
