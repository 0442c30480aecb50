"""The pool in this process: real workers in threads, which can be told to die, to hang, or to lose their node.

It has no Ray and no second implementation of a worker: what a stage does, keeps and answers is what it does on a
cluster. It passes the conformance suite of `Pool`, and the tests of driver, scheduler and policy run on it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.execution.pool.protocol import (
    TITLES,
    CannotStart,
    Event,
    Finished,
    Holding,
    Lost,
    Parent,
    Ready,
    Vitals,
    WorkerNeeds,
)
from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Role, Stage
from workers.faults import described, failure_of
from workers.messages import Cause, Failure, Kept, Pulse, StageResult, WorkOrder
from workers.rank import ALONE
from workers.worker import Worker

#: Longest wait for the step that a worker is at when its pool is closed.
LAST_STEP_S: Final = 30.0


class Killed(BaseException):
    """Ends a worker's thread where SIGKILL would end its process: between two steps."""


@dataclass(frozen=True)
class _Lot:
    """A ticket and what it asks for; without orders it asks to keep a state."""

    ticket: int
    orders: Sequence[WorkOrder] = ()
    parents: Sequence[Parent] = ()
    kept: tuple[Stage, Any] | None = None


@dataclass(eq=False)
class _Gang:
    name: str
    role: Role
    node: str
    worker: Worker
    inbox: queue.SimpleQueue[_Lot | None] = field(default_factory=queue.SimpleQueue)
    tickets: list[int] = field(default_factory=list)
    dies: bool = False
    hangs: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    pulse: Pulse | None = None
    changed_s: float = field(default_factory=time.monotonic)


class LocalPool:
    """See `Pool`.

    Workers take turns, as torch has one generator and one number of threads for the whole process.

    Parameters
    ----------
    nodes
        Names of the nodes that gangs are put on, one after the other.
    on_step
        Called after each step with the gang's name, the stage (the first, where several train as one) and the steps
        done; tests kill and lose from here.
    """

    def __init__(
        self,
        context: RunContext,
        store_uri: str,
        store_id: str | None,
        needs: Mapping[Role, WorkerNeeds],
        *,
        nodes: Sequence[str] = ("node-0",),
        on_step: Callable[[str, Stage, int], None] = lambda gang, stage, step: None,
    ) -> None:
        if any(need.world_size > 1 for need in needs.values()):
            raise ValueError("a gang of several ranks needs processes: use RayPool")
        self.context, self.store_uri, self.store_id, self.needs = context, store_uri, store_id, needs
        self.nodes, self.on_step = list(nodes), on_step
        self._gangs: dict[str, _Gang] = {}
        self._events: queue.SimpleQueue[tuple[_Gang, Event]] = queue.SimpleQueue()
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._gone: set[str] = set()
        self._numbers = 0

    def size(self, role: Role) -> int:
        """See `Pool`."""
        return sum(gang.role == role for gang in self._gangs.values())

    def gangs(self) -> list[str]:
        """See `Pool`."""
        return list(self._gangs)

    def role(self, gang: str) -> Role:
        """See `Pool`."""
        return self._gangs[gang].role

    def start(self, role: Role, count: int) -> list[str]:
        """See `Pool`."""
        names = (f"{TITLES[role]}-{k}" for k in range(len(self._gangs) + count))
        new = [name for name in names if name not in self._gangs][:count]
        for name in new:
            self._start(name, role)
        return new

    def send(self, gang: str, orders: Sequence[WorkOrder], parents: Sequence[Parent]) -> int:
        """See `Pool`."""
        return self._put(self._gangs[gang], _Lot(self._next(), orders, parents))

    def events(self, timeout_s: float) -> list[Event]:
        """See `Pool`."""
        found: list[Event] = []
        try:
            while True:
                gang, event = self._events.get(timeout=0.0 if found else timeout_s)
                if self._gangs.get(gang.name) is gang and (isinstance(event, Lost) or not gang.dies):
                    if isinstance(event, Finished):
                        gang.tickets.remove(event.ticket)
                        gang.changed_s = time.monotonic()
                    found.append(event)
        except queue.Empty:
            return found

    def vitals(self, gang: str) -> Vitals:
        """See `Pool`; a worker of this process answers at once unless it hangs."""
        of, now = self._gangs[gang], time.monotonic()
        pulse = of.worker.pulse()
        if pulse != of.pulse:
            of.pulse, of.changed_s = pulse, now
        return Vitals(of.pulse, now - of.changed_s, now - of.changed_s if of.hangs else 0.0)

    def lost_nodes(self) -> frozenset[str]:
        """See `Pool`."""
        return frozenset(self._gone)

    def stop_soon(self) -> None:
        """See `Pool`."""
        for gang in self._gangs.values():
            gang.worker.stop()

    def keep(self, gang: str, stage: Stage, state: Holding) -> int:
        """See `Pool`."""
        return self._put(self._gangs[gang], _Lot(self._next(), kept=(stage, state.value)))

    def give_up(self, gang: str, failure: Failure) -> None:
        """See `Pool`."""
        self._lose(self._gangs[gang], failure)

    def replace(self, gang: str) -> None:
        """See `Pool`."""
        lost = self._gangs.pop(gang)
        self._end(lost)
        self._start(gang, lost.role)

    def drop(self, gang: str) -> None:
        """See `Pool`."""
        self._end(self._gangs.pop(gang))

    def close(self) -> None:
        """See `Pool`; no worker goes on after it, as its threads and torch's settings are this process's."""
        for gang in self._gangs.values():
            self._end(gang)
        self._gangs.clear()
        for thread in self._threads:
            thread.join(LAST_STEP_S)

    # What happens to workers elsewhere

    def kill(self, gang: str) -> None:
        """Let a worker die: after the step that it is at, or at once where it is idle."""
        of = self._gangs[gang]
        if of.tickets:
            self._lose(of, Failure(Cause.WORKER_DIED, f"worker {gang} died\nWorkerDied: it was killed"))
        else:
            self._lose(of, Failure(Cause.NODE_LOST, f"worker {gang}: it died while it was idle"))

    def hang(self, gang: str) -> None:
        """Let a worker stand still after the step that it is at."""
        self._gangs[gang].hangs = True

    def lose_node(self, node: str) -> None:
        """Let a node go, with its workers and the states that lie there."""
        self._gone.add(node)
        for gang in list(self._gangs.values()):
            if gang.node == node:
                self._lose(gang, Failure(Cause.NODE_LOST, f"worker {gang.name}: its node {node} was lost"))

    def node_of(self, gang: str) -> str:
        """Return where a gang is."""
        return self._gangs[gang].node

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _start(self, name: str, role: Role) -> None:
        needs = self.needs[role]
        there = [node for node in self.nodes if node not in self._gone] or [f"node-{len(self.nodes)}"]
        self.nodes += [node for node in there if node not in self.nodes]
        worker = Worker(
            name,
            self.context,
            self.store_uri,
            store_id=self.store_id,
            threads=needs.cpus,
            on_gpu=False,
            rank=ALONE,
            checkpoint_interval_s=needs.checkpoint_interval_s,
            store_patience_s=needs.store_patience_s,
        )
        gang = _Gang(name, role, there[len(self._gangs) % len(there)], worker)
        self._gangs[name] = gang
        self._threads.append(threading.Thread(target=self._work, args=(gang,), name=name, daemon=True))
        self._threads[-1].start()

    def _put(self, gang: _Gang, lot: _Lot) -> int:
        if not gang.tickets:
            gang.changed_s = time.monotonic()
        gang.tickets.append(lot.ticket)
        gang.inbox.put(lot)
        return lot.ticket

    def _work(self, gang: _Gang) -> None:
        """What the thread of a worker does."""
        try:
            try:
                with self._turn:
                    gang.worker.warm()
            except Exception as error:
                self._events.put((gang, CannotStart(gang.name, failure_of(error))))
                return
            self._listen_to_steps(gang)
            self._events.put((gang, Ready(gang.name)))
            while (lot := gang.inbox.get()) is not None and not gang.dies:
                with self._turn:
                    event = self._done(gang, lot)
                self._events.put((gang, event))
        except Killed:
            return

    def _listen_to_steps(self, gang: _Gang) -> None:
        keeper = gang.worker.checkpointer
        after_step, after_step_together = keeper.after_step, keeper.after_step_together

        def noticed(stage: Stage, step: int, state: Callable[[], Any]) -> None:
            after_step(stage, step, state)
            went_by(stage, step)

        def noticed_together(states: list[tuple[Stage, Callable[[], Any]]], step: int) -> None:
            after_step_together(states, step)
            went_by(states[0][0], step)

        def went_by(stage: Stage, step: int) -> None:
            self.on_step(gang.name, stage, step)
            if gang.hangs:
                self._turn.release()
                try:
                    gang.released.wait()
                finally:
                    self._turn.acquire()
            if gang.dies:
                raise Killed

        keeper.after_step = noticed  # type: ignore[method-assign]
        keeper.after_step_together = noticed_together  # type: ignore[method-assign]

    def _done(self, gang: _Gang, lot: _Lot) -> Finished:
        if lot.kept is not None:
            try:
                gang.worker.keep(*lot.kept)
            except Exception as error:
                failed = StageResult(failure=Failure(Cause.STORE_UNREACHABLE, described(error)))
                return Finished(lot.ticket, gang.name, [failed], [])
            return Finished(lot.ticket, gang.name, [], [])
        gone = [isinstance(parent, Holding) and parent.node in self._gone for parent in lot.parents]
        if any(gone):
            lost = [
                Failure(Cause.STATE_LOST, "ObjectLost: its node is gone", (order.chain[0].parent or "",) * missing)
                for order, missing in zip(lot.orders, gone, strict=True)
            ]
            return Finished(lot.ticket, gang.name, [StageResult(failure=each) for each in lost], [None] * len(lost))
        given = [parent.value if isinstance(parent, Holding) else parent for parent in lot.parents]
        results, *states = gang.worker.run(list(lot.orders), *given)
        holdings = [None if state is None or isinstance(state, Kept) else Holding(state, gang.node) for state in states]
        return Finished(lot.ticket, gang.name, results, holdings)

    def _lose(self, gang: _Gang, failure: Failure) -> None:
        if gang.dies:
            return
        ticket = gang.tickets[0] if gang.tickets else None
        self._end(gang)
        gang.tickets = []
        self._events.put((gang, Lost(gang.name, failure, ticket)))

    @staticmethod
    def _end(gang: _Gang) -> None:
        gang.dies = True
        gang.released.set()
        gang.inbox.put(None)
