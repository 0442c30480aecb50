"""The driver: sends ready stages to idle gangs until the tree is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.errors import Interrupted, ScalawError, Unreachable
from orchestrator.execution.active_selection import CellChooser
from orchestrator.execution.failure_policy import MOST_FAILED_STARTS, SHARED_WITH_OTHERS, Fail, FailurePolicy
from orchestrator.execution.foresight import ahead
from orchestrator.execution.keep_states import keep_states
from orchestrator.execution.pool.elastic import Elastic
from orchestrator.execution.pool.protocol import CannotStart, Event, Holding, Lost, Parent, Pool, Ready
from orchestrator.execution.progress.progress import Progress
from orchestrator.execution.signals import StopSignal
from orchestrator.execution.stage_scheduler import StageScheduler
from orchestrator.execution.stall import StallRule
from orchestrator.execution.state_memory import StateMemory
from orchestrator.execution.store_writer import StoreWriter
from orchestrator.planning.context import RunContext
from orchestrator.planning.memory import state_bytes
from orchestrator.planning.tree import Role, Stage
from orchestrator.store import Store
from orchestrator.store.cell_row import failure_row
from orchestrator.store.compaction import WORTHWHILE
from workers.messages import Cause, Failure, StageResult, WorkOrder

#: How often an idle driver looks at signals, standstills and the clock.
TICK_S: Final = 0.25
#: A chain that takes less than this is short: the next one is queued behind it, as the round trip would cost more.
SHORT_S: Final = 0.02
#: Seconds beyond the longest step that a stop waits for workers.
STOP_GRACE_S: Final = 30.0


@dataclass(frozen=True, eq=False)
class _Flight:
    """Chains of stages on their way, mostly one: what they start from, where they run and when they were sent."""

    chains: list[list[Stage]]
    parents: list[Parent]
    gang: str
    sent_s: float
    short: bool


@dataclass
class Driver:
    """Leads a stage tree to its rows.

    Parameters
    ----------
    store
        Tries its writes again; they are made in the writer's thread.
    glance
        The same store, which says at once where it does not answer.

    Guarantees: who pays for a failure says the policy, and a cell whose stage has no tries left gets a failure row
    while the rest goes on (I7); a stage is sent only when its parent's state is there; states take no more memory than
    the budget; after a stop is asked for nothing more is sent, and it waits no longer than a step and its grace.
    """

    scheduler: StageScheduler
    pool: Pool
    policy: FailurePolicy
    context: RunContext
    store: Store
    glance: Store
    writer: StoreWriter
    progress: Progress
    stop: StopSignal
    memory: StateMemory
    stage_timeout_s: float | None = None
    copies: bool = False
    chooser: CellChooser | None = None
    elastic: Elastic | None = None
    compact_every: int = WORTHWHILE
    check_cluster: Callable[[], None] = lambda: None
    stall: StallRule = field(default_factory=StallRule)
    _warm: dict[str, list[int]] = field(default_factory=dict)
    _flights: dict[int, _Flight] = field(default_factory=dict)
    _held: list[tuple[float, list[Stage]]] = field(default_factory=list)
    _away: list[tuple[float, str]] = field(default_factory=list)
    _holders: dict[str, str] = field(default_factory=dict)
    _lost_nodes: frozenset[str] = frozenset()
    _failed_starts: int = 0
    _stop_by_s: float | None = None
    _rows: int = 0

    def run(self, gangs: int, scorers: int = 0) -> None:
        """Start the gangs and return when every stage is done or failed, or a stop was asked for.

        With a chooser, cells come in batches: it is asked for the next where one is done.

        Parameters
        ----------
        gangs, scorers
            Gangs that train, and workers that evaluate and compress beside them.

        Raises
        ------
        Unreachable
            If the cluster or the store was given up; what is finished is kept, and the same command goes on.
        Interrupted
            If the stop that was asked for has ended the cluster too.
        """
        self.pool.start("score", scorers)
        self.pool.start("train", gangs)
        while self.scheduler.unfinished or self._wants_more():
            self._look_around()
            self._tell()
            if self.stop.asked and self._stopped():
                return
            self._send()
            for event in self.pool.events(self._patience_s()):
                self._hear(event)
            self._find_standstills()
            self._resize()

    def close(self) -> None:
        """End all workers, and ask the autoscaler for none."""
        self.pool.close()
        if self.elastic is not None:
            self.elastic.close()

    def _look_around(self) -> None:
        """Notice what no event tells of: the cluster, the store, nodes that took states along, retries that are due."""
        now = time.monotonic()
        try:
            self.check_cluster()
        except ScalawError as failure:
            if self.stop.asked:
                raise Interrupted(
                    "Ray was ended by the signal that was to stop the sweep, as it went to all processes of the group; "
                    "rows and checkpoints are kept: run the same command again to go on"
                ) from failure
            raise
        self.writer.check()
        self.policy.check_patience(now_s=now)
        gone = self.pool.lost_nodes() - self._lost_nodes
        if gone:
            self._lost_nodes |= gone
            self.policy.node_lost(now_s=now)
            self.scheduler.lose_nodes(gone)
        due = [chain for due_s, chain in self._held if due_s <= now]
        self._held = [each for each in self._held if each[0] > now]
        for chain in due:
            self.scheduler.retry(chain)
        back = [gang for due_s, gang in self._away if due_s <= now]
        self._away = [each for each in self._away if each[0] > now]
        for gang in back:
            self.pool.replace(gang)

    def _patience_s(self) -> float:
        """Return how long to wait for an event: until the next look, or until a retry is due."""
        now = time.monotonic()
        return min([TICK_S, *(max(0.0, due_s - now) for due_s, _ in [*self._held, *self._away])])

    def _wants_more(self) -> bool:
        """Return whether the chooser wakes further stages."""
        while self.chooser is not None and not self.stop.asked and (cells := self.chooser.next_cells()):
            self.scheduler.want(cells)
            if self.scheduler.unfinished:
                return True
        return False

    def _tell(self) -> None:
        busy = sum(bool(tickets) for tickets in self._warm.values())
        starting = self.pool.size("train") + self.pool.size("score") - len(self._warm)
        self.progress.tick(self.scheduler, warm=len(self._warm), busy=busy, starting=starting, stopping=self.stop.asked)

    # Out

    def _send(self) -> None:
        for role in ("train", "score"):
            self._send_to(role)

    def _send_to(self, role: Role) -> None:
        while not self.stop.asked and self._free(role):
            chain = self.scheduler.next(self.pool.size(role), role)
            if chain is None:
                return
            short = sum(self.scheduler.estimates.stages_s[stage.id] for stage in chain) < SHORT_S
            gang = self._gang_for(chain[0])
            if self._warm[gang] and not short:
                self.scheduler.give_back(chain)
                return
            self._dispatch([chain, *self._fused_with(chain)], gang, short=short)

    def _fused_with(self, chain: list[Stage]) -> list[list[Stage]]:
        """Return chains of other seeds that train along with one, where the recipe has it so."""
        if not (chain[0].recipe.fuse and any(stage.steps for stage in chain)):
            return []
        return self.scheduler.next_like(chain, len(self._free("train")))

    def _dispatch(self, chains: list[list[Stage]], gang: str, *, short: bool) -> None:
        parents = [self.scheduler.parent(chain) for chain in chains]
        ticket = self.pool.send(gang, [self._order(chain) for chain in chains], parents)
        self._flights[ticket] = _Flight(chains, parents, gang, time.monotonic(), short)
        self._warm[gang].append(ticket)

    def _order(self, chain: list[Stage]) -> WorkOrder:
        stage, last = chain[0], chain[-1]
        return WorkOrder(
            chain=chain,
            attempt=self.scheduler.attempts[stage.id],
            look_for_kept=self.scheduler.may_be_kept(chain),
            spill=not self.memory.reserve(last.id, state_bytes(last)),
            copy=self.copies,
            unkept_s=self.scheduler.unkept_s(chain),
            micro_batches=self.policy.micro_batches(stage.id),
            ahead=() if self.context.program is None else ahead(self.scheduler, chain),
        )

    def _free(self, role: Role) -> list[str]:
        """Return the gangs of a role that are idle, else those that have a single short chain to finish first."""
        loads = {gang: tickets for gang, tickets in self._warm.items() if self.pool.role(gang) == role}
        idle = [gang for gang, tickets in loads.items() if not tickets]
        return idle or [g for g, tickets in loads.items() if len(tickets) == 1 and self._flights[tickets[0]].short]

    def _gang_for(self, stage: Stage) -> str:
        """Return the free gang that left the parent's state, if there is one, as it has the state at hand."""
        free = self._free(self.scheduler.tree.role(stage))
        holder = self._holders.get(stage.parent or "")
        return holder if holder in free else free[0]

    # In

    def _hear(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._warm[event.gang] = []
            self._failed_starts = 0
        elif isinstance(event, CannotStart):
            self._could_not_start(event)
        elif isinstance(event, Lost):
            self._lost(event)
        elif event.ticket in self._flights:
            flight = self._flights.pop(event.ticket)
            self._warm[flight.gang].remove(event.ticket)
            states = [*event.states, *[None] * (len(flight.chains) - len(event.states))]
            for chain, parent, state, result in zip(flight.chains, flight.parents, states, event.results, strict=True):
                self._answered(chain, parent, event.gang, state, result)

    def _could_not_start(self, event: CannotStart) -> None:
        """Start a gang again: at once and a few times where it raised, for as long as there is patience elsewhere."""
        now, cause = time.monotonic(), event.failure.cause
        if cause is Cause.STORE_REPLACED:
            self.policy.judge(event.gang, event.failure, now_s=now)
        self._failed_starts += 1
        if cause is Cause.STORE_UNREACHABLE:
            self.policy.node_lost(now_s=now)
            self._away.append((now + self._wait_for_start_s(), event.gang))
            return
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise ScalawError(f"{event.gang} can't start: {event.failure.error.splitlines()[-1]}")
        self.pool.replace(event.gang)

    def _answered(
        self, chain: list[Stage], parent: Parent, gang: str, state: Holding | None, result: StageResult
    ) -> None:
        last = chain[-1]
        self.scheduler.note_kept(result.begun, result.done)
        if result.stopped:
            self.memory.release(last.id)
            self.scheduler.give_back(chain)
        elif result.failure is not None:
            self.scheduler.miss(chain, parent, result.failure.stages)
            self._failed(chain, result.failure, gang)
        else:
            self.policy.got_done(*(stage.id for stage in chain))
            state = state if result.state_bytes else None
            self.scheduler.finish(chain, state, result.seconds, done=result.done, spared_steps=result.spared_steps)
            self.memory.settle(last.id, result.state_bytes if self.scheduler.holds(last.id) else 0)
            self._holders[last.id] = gang
            self._tidy()
            if result.row is not None:
                self._row(result.row)

    def _row(self, row: dict[str, Any]) -> None:
        """Note a row that was committed; now and then those of single cells are merged, beside the sweep."""
        self._rows += 1
        if self._rows % self.compact_every == 0:
            self.writer.put(lambda: self.store.compact(at_least=self.compact_every), key="compaction")
        self.progress.row(row)
        if self.chooser is not None:
            self.chooser.note(row)

    def _lost(self, event: Lost) -> None:
        """Replace a gang and judge what it was at; what was queued behind has not begun."""
        now = time.monotonic()
        for ticket in self._warm.pop(event.gang, []):
            flight = self._flights.pop(ticket)
            for chain in flight.chains:
                if ticket == event.ticket:
                    self._failed(chain, event.failure, event.gang)
                else:
                    self.memory.release(chain[-1].id)
                    self.scheduler.give_back(chain)
        if event.ticket is None:
            self._failed_starts += 1  # dead before it was of use: in vain so far, but no reason to give up
            self.policy.node_lost(now_s=now)
        self._away.append((now + self._wait_for_start_s(), event.gang))

    def _wait_for_start_s(self) -> float:
        return min(2.0 ** (self._failed_starts - 1), 60.0) if self._failed_starts > 1 else 0.0

    def _failed(self, chain: list[Stage], failure: Failure, gang: str) -> None:
        stage = chain[0]
        self.memory.release(chain[-1].id)
        attempt = self.scheduler.attempts[stage.id]
        if failure.cause in (Cause.WORKER_DIED, Cause.NODE_LOST, Cause.STALLED):
            self._look_how_far(chain)
        share = stage.recipe.batch_size // stage.recipe.world_size
        verdict = self.policy.judge(stage.id, failure, now_s=time.monotonic(), batch_size=share)
        if not isinstance(verdict, Fail):
            if failure.cause in SHARED_WITH_OTHERS:
                self.scheduler.part(chain)
            if verdict.wait_s:
                self.scheduler.hold(chain)
                self._held.append((time.monotonic() + verdict.wait_s, chain))
            else:
                self.scheduler.retry(chain)
            return
        for lost in self.scheduler.fail(chain):
            if lost.cell is None:
                continue
            text = verdict.error
            if lost not in chain:
                text = f"{stage.kind} stage {stage.id[:12]} failed before it:\n{text}"
            row = failure_row(lost.cell, self.context, error=text, attempt=attempt, worker=gang)
            self.writer.put(lambda row=row: self.store.commit_row(row))  # type: ignore[misc]
            self._row(row)
        self._tidy()

    def _look_how_far(self, chain: list[Stage]) -> None:
        """See what a worker that was lost has kept of a chain: it goes on from there, and a stage gets on with it."""
        with suppress(Unreachable):  # then it is not known; the writes that matter say so by themselves
            for k, stage in enumerate(chain):
                if (kept := self.glance.checkpoints.reached(stage.id)) is not None:
                    self.scheduler.note_kept(**{"done" if kept[0] else "begun": [stage.id]})
                    self.policy.note_reached(chain[0].id, (k, *kept))

    def _tidy(self) -> None:
        """Drop the checkpoints that nothing needs any more."""
        for stage_id in self.scheduler.obsolete():
            self._holders.pop(stage_id, None)
            self.writer.put(lambda stage_id=stage_id: self.store.checkpoints.drop(stage_id))  # type: ignore[misc]

    # Now and then

    def _find_standstills(self) -> None:
        """End gangs whose work does not get on, or takes longer than it may."""
        now = time.monotonic()
        for ticket, flight in list(self._flights.items()):
            if self._warm.get(flight.gang, [None])[0] != ticket:
                continue  # queued behind another
            stages = [stage for chain in flight.chains for stage in chain]
            step_s = self.stall.step_s(stages, self.scheduler.estimates.stages_s) * len(flight.chains)
            late = self.stage_timeout_s is not None and now - flight.sent_s > self.stage_timeout_s * len(stages)
            told = f"the stage took longer than resources.stage_timeout_s = {self.stage_timeout_s:g}" if late else ""
            told = told or self.stall.told(flight.gang, self.pool.vitals(flight.gang), step_s)
            if told:
                self.pool.give_up(flight.gang, Failure(Cause.STALLED, told))

    def _resize(self) -> None:
        """Start gangs on nodes that have come and the plan can use; give up those that wait for nodes that are gone."""
        at_work = sum(self.pool.role(flight.gang) == "train" for flight in self._flights.values())
        usable = self.scheduler.ready("train") + at_work
        capacity = None if self.elastic is None or self.stop.asked else self.elastic.capacity(usable)
        if capacity is None:
            return
        away = {gang for _, gang in self._away}
        waiting = [g for g in self.pool.gangs() if self.pool.role(g) == "train" and g not in self._warm]
        for gang in [g for g in waiting if g not in away][: max(0, self.pool.size("train") - capacity)]:
            self.pool.drop(gang)
        self.pool.start("train", max(0, min(capacity, usable) - self.pool.size("train")))

    # The end before the end

    def _stopped(self) -> bool:
        """Lead a stop; return whether it is done with."""
        now = time.monotonic()
        if self._stop_by_s is None:
            stages = [stage for flight in self._flights.values() for chain in flight.chains for stage in chain]
            longest_s = self.stall.step_s(stages, self.scheduler.estimates.stages_s) if stages else 0.0
            grace_s = self.context.program.manifest.grace_s if self.context.program else 0.0
            self._stop_by_s = now + longest_s + grace_s + STOP_GRACE_S
            self.pool.stop_soon()
        if self._flights and now < self._stop_by_s:
            return False
        if self._flights:
            gangs = ", ".join(sorted({flight.gang for flight in self._flights.values()}))
            self.progress.say(f"{gangs} did not answer in time: what it was at goes on from its last checkpoint")
        idle = sorted(gang for gang, tickets in self._warm.items() if not tickets)
        keep_states(self.pool, idle, self.scheduler.held(), self._stop_by_s, self.progress.say)
        return True
