"""A gang of Ray actors: its ranks, what they were sent, and how what they answer is told in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from orchestrator.planning.tree import Role
from workers.faults import plain
from workers.messages import Cause, Failure, Pulse, StageResult, WorkOrder

#: What is told where ranks of a gang fail for different reasons: the first of these that one of them has.
_PRECEDENCE: Final = (
    Cause.STORE_REPLACED,
    Cause.STORE_UNREACHABLE,
    Cause.OUT_OF_MEMORY,
    Cause.STATE_LOST,
    Cause.DIVERGED,
    Cause.RAISED,
)


@dataclass(eq=False)
class Ticket:
    """Work on its way: each rank's answer, as far as they have come."""

    number: int
    orders: Sequence[WorkOrder]
    results: tuple[Any, ...]
    states: tuple[Any, ...]
    answers: dict[int, list[StageResult]] = field(default_factory=dict)
    failed_s: float | None = None

    @property
    def failures(self) -> list[Failure]:
        """Why ranks failed, in the order in which they said so."""
        return [result.failure for answer in self.answers.values() for result in answer if result.failure is not None]


@dataclass(eq=False)
class RayGang:
    """Workers that train a cell together, rank 0 first; mostly one alone."""

    name: str
    role: Role
    ranks: tuple[ActorHandle[Any], ...]
    joining: dict[Any, int]
    lingering: tuple[Any, ...]
    tickets: list[Ticket] = field(default_factory=list)
    nodes: dict[int, str] = field(default_factory=dict)
    asked: Any = None
    asked_s: float = 0.0
    pulse: Pulse | None = None
    changed_s: float = field(default_factory=time.monotonic)
    answered_s: float = field(default_factory=time.monotonic)
    dying: tuple[Failure, float] | None = None

    @property
    def starts(self) -> bool:
        """True until all ranks are warm."""
        return bool(self.joining)


def ticket_of(gang: RayGang, reference: Any) -> tuple[Ticket, int] | None:
    """Return the ticket that waits for an answer, and of which rank.

    ``None`` where it no longer waits: rank 0 has answered for all, and another rank's answer came with it.
    """
    for ticket in gang.tickets:
        if reference in ticket.results:
            return ticket, ticket.results.index(reference)
    return None


def gravest(failures: Sequence[Failure]) -> Failure:
    """Return the failure that says most of why a gang failed; the others follow from it."""
    return min(failures, key=lambda failure: _PRECEDENCE.index(failure.cause))


def told_by(error: RayError) -> str:
    """Return what Ray's exception says in one line, without its own headers."""
    cause = error.cause if isinstance(error, RayTaskError) and error.cause is not None else error
    lines = [line.strip() for line in plain(str(cause)).splitlines() if line.strip()]
    known = [line for line in lines if not line.startswith(("class_name:", "actor_id:", "pid:", "namespace:", "ip:"))]
    return known[-1] if known else type(cause).__name__


def task_name(orders: Sequence[WorkOrder]) -> str:
    """Return what Ray's dashboard shows while a gang is at it.

    Kinds, size and seed, and no id: Ray keeps about 8 KB in the driver for each name that it has ever heard.
    """
    chain = orders[0].chain
    kinds = " + ".join(dict.fromkeys(stage.kind for stage in chain))
    more = f" and {len(orders) - 1} more" if len(orders) > 1 else ""
    return f"{kinds} N={chain[0].shape.params_non_embedding:,} seed {chain[0].seed}{more}"
