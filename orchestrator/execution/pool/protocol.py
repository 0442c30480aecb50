"""The seam between the driver and whoever runs its work: send, hear, and tell a lost worker from a lost state.

Two implementations pass one conformance suite: `ray_pool.RayPool`, and `local_pool.LocalPool`, whose workers are
threads of this process and which can be told to lose them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from orchestrator.planning.tree import Role, Stage
from workers.messages import Failure, Kept, Pulse, StageResult, WorkOrder

#: What gangs are called, before their number.
TITLES: Final[dict[Role, str]] = {"train": "scalaw-worker", "score": "scalaw-cpu-worker"}


@dataclass(frozen=True, kw_only=True)
class WorkerNeeds:
    """What one worker asks of the cluster, and how many of them train a cell together."""

    cpus: int
    gpus: float
    world_size: int = 1
    checkpoint_interval_s: float = float("inf")
    store_patience_s: float = 300.0
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


@dataclass(frozen=True, eq=False)
class Holding:
    """A state in memory somewhere: what to hand to a child, and which node takes it along when it goes.

    Parameters
    ----------
    value
        The pool's own: a reference, or the state itself.
    node
        Where it lies; ``None`` where the driver itself holds it, so that no node takes it along.
    """

    value: Any
    node: str | None


#: What a chain starts from: a state in memory, one among the checkpoints, or nothing.
Parent: TypeAlias = Holding | Kept | None


@dataclass(frozen=True)
class Vitals:
    """How a gang is.

    Parameters
    ----------
    pulse
        Its last sign of life; ``None`` where it has never answered, as one that waits for room has no process yet.
    unchanged_s
        Seconds in which that was the same one.
    silent_s
        Seconds since it last answered at all.
    """

    pulse: Pulse | None
    unchanged_s: float
    silent_s: float


@dataclass(frozen=True)
class Ready:
    """A gang is warm."""

    gang: str


@dataclass(frozen=True)
class Finished:
    """A piece of work was answered.

    Parameters
    ----------
    ticket
        What `send` returned.
    results, states
        One for each order; the states of rank 0, ``None`` where none travels.
    """

    ticket: int
    gang: str
    results: Sequence[StageResult]
    states: Sequence[Holding | None]


@dataclass(frozen=True)
class Lost:
    """A gang is of no use any more: it died, or was ended; nothing that was sent to it will be answered.

    Parameters
    ----------
    failure
        Why; its cause tells whether the worker, its node or nobody is to blame.
    ticket
        The work that was running, if any; what was queued behind it has not begun.
    """

    gang: str
    failure: Failure
    ticket: int | None


@dataclass(frozen=True)
class CannotStart:
    """A gang raised while it started, as it would again: other data than planned, a package that is missing."""

    gang: str
    failure: Failure


Event: TypeAlias = Ready | Finished | Lost | CannotStart


class Pool(Protocol):
    """The gangs of one sweep.

    Guarantees
    ----------
    * A gang runs what it is sent one after the other, in the order of sending.
    * Each ticket is answered once, by `Finished`, or by `Lost` of its gang; after `Lost` nothing is heard of that
      gang any more. The driver replaces or drops it.
    * A state lives as long as its `Holding` is referred to and its node is there; whose node is gone, `lost_nodes`
      tells.
    * No call waits for a worker: `events` alone waits, and for no longer than it is told.
    """

    def size(self, role: Role) -> int:
        """Return how many gangs of a role there are, starting ones included."""

    def gangs(self) -> list[str]:
        """Return the names of all gangs, starting ones included."""

    def role(self, gang: str) -> Role:
        """Return what a gang does."""

    def start(self, role: Role, count: int) -> list[str]:
        """Start so many further gangs; return their names. `Ready` tells of each when it is warm."""

    def send(self, gang: str, orders: Sequence[WorkOrder], parents: Sequence[Parent]) -> int:
        """Send work to a gang; return the ticket by which it is answered."""

    def events(self, timeout_s: float) -> list[Event]:
        """Return what has come about, waiting at most so long for the first."""

    def vitals(self, gang: str) -> Vitals:
        """Return how a gang is that is at work or starting; counted from when it was sent what it is at."""

    def lost_nodes(self) -> frozenset[str]:
        """Return the nodes that were seen to go since the start."""

    def stop_soon(self) -> None:
        """Tell all gangs to end what they are at after the next step."""

    def keep(self, gang: str, stage: Stage, state: Holding) -> int:
        """Let a gang write a finished stage's state to the checkpoints; `Finished` without results answers."""

    def give_up(self, gang: str, failure: Failure) -> None:
        """End a gang that stands still; `Lost` with that failure tells of it."""

    def replace(self, gang: str) -> None:
        """Start a new gang in the place of a lost one, under its name."""

    def drop(self, gang: str) -> None:
        """End a gang and what is reserved for it, without a word."""

    def close(self) -> None:
        """End all gangs."""
