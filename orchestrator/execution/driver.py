"""The driver: sends ready stages to idle gangs until the tree is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from orchestrator.errors import Interrupted, ScalawError
from orchestrator.execution.active_selection import CellChooser
from orchestrator.execution.elastic import Elastic
from orchestrator.execution.pool import Gang, Pool
from orchestrator.execution.progress import Progress
from orchestrator.execution.signals import StopSignal
from orchestrator.execution.stage_scheduler import Ledger
from orchestrator.execution.state_memory import StateMemory, expected_bytes
from orchestrator.planning.tree import Role, Stage
from orchestrator.store import Store
from orchestrator.store.cell_row import failure_row
from workers.messages import StageResult, WorkOrder

#: How often an idle driver looks at signals, timeouts and the clock.
TICK_S = 0.25
#: A chain that takes less than this is short: the next one is queued behind it, as the round trip would cost more.
SHORT_S = 0.02
#: Starts that may fail one after another before the sweep gives up.
MOST_FAILED_STARTS = 3


@dataclass(frozen=True)
class _Flight:
    """Chains of stages on their way, mostly one: where they run, what the ranks answer on and when they were sent."""

    chains: list[list[Stage]]
    gang: Gang
    results: tuple[Any, ...]
    states: tuple[Any, ...]
    sent_s: float
    short: bool


@dataclass
class Driver:
    """Leads a stage tree to its rows.

    Guarantees: a failed stage is tried at most ``1 + max_retries`` times, then its cells get failure rows and the rest
    goes on (I7); a stage is sent only when its parent's state is there; states take no more memory than the budget;
    after a stop is asked for nothing more is sent.
    """

    ledger: Ledger
    pool: Pool
    store: Store
    progress: Progress
    stop: StopSignal
    memory: StateMemory
    max_retries: int
    stage_timeout_s: float | None
    chooser: CellChooser | None = None
    elastic: Elastic | None = None
    head_has_ended: Callable[[], bool] = lambda: False  # of a Ray that the run has started
    _loads: dict[str, list[_Flight]] = field(default_factory=dict)
    _starting: dict[Any, Gang] = field(default_factory=dict)
    _flights: dict[Any, _Flight] = field(default_factory=dict)
    _holders: dict[str, str] = field(default_factory=dict)
    _failed_starts: int = 0

    def run(self, gangs: int, scorers: int = 0) -> None:
        """Start the gangs and return when every stage is done or failed, or a stop was asked for.

        With a chooser, cells come in batches: it is asked for the next where one is done.

        Parameters
        ----------
        gangs, scorers
            Gangs that train, and workers that evaluate and compress beside them.
        """
        for gang in [*self.pool.start("score", scorers), *self.pool.start("train", gangs)]:
            self._await(gang)
        while self.ledger.unfinished or self._wants_more():
            self._send()
            if self.stop.asked and self.head_has_ended():
                raise Interrupted(
                    "Ray was ended by the signal that was to stop the sweep, as it went to all processes of the group; "
                    "rows and checkpoints are kept: run the same command again to go on"
                )
            if self.stop.asked and not self._flights:
                self._keep_states()
                return
            busy = sum(bool(load) for load in self._loads.values())
            starting = len(self.pool.gangs) - len(self._loads)
            self.progress.tick(
                self.ledger, warm=len(self._loads), busy=busy, starting=starting, stopping=self.stop.asked
            )
            pending = [*self._flights, *(() if self.stop.asked else self._starting)]
            ready, _ = ray.wait(pending, timeout=TICK_S)
            for reference in ready:
                self._receive(reference)
            self._expire()
            self._resize()

    def _resize(self) -> None:
        """Start gangs on nodes that have come and the plan can use; give up those that wait for nodes that are gone."""
        usable = self.ledger.ready("train") + self._training
        capacity = None if self.elastic is None or self.stop.asked else self.elastic.capacity(usable)
        if capacity is None:
            return
        surplus = max(0, self.pool.size("train") - capacity)
        waiting = {gang.name: gang for gang in self._starting.values() if gang.role == "train"}
        for gang in list(waiting.values())[:surplus]:
            self._starting = {reference: other for reference, other in self._starting.items() if other is not gang}
            self.pool.drop(gang.name)
        for gang in self.pool.start("train", max(0, min(capacity, usable) - self.pool.size("train"))):
            self._await(gang)

    @property
    def _training(self) -> int:
        """Pieces of training on their way."""
        return len({id(flight) for flight in self._flights.values() if flight.gang.role == "train"})

    def close(self) -> None:
        """End all workers, and ask the autoscaler for none."""
        self.pool.stop()
        if self.elastic is not None:
            self.elastic.close()

    def _wants_more(self) -> bool:
        """Return whether the chooser wakes further stages."""
        while self.chooser is not None and not self.stop.asked and (cells := self.chooser.next_cells()):
            self.ledger.want(cells)
            if self.ledger.unfinished:
                return True
        return False

    def _row(self, row: dict[str, Any]) -> None:
        self.progress.row(row)
        if self.chooser is not None:
            self.chooser.note(row)

    def _keep_states(self) -> None:
        """Write the states that unfinished cells hang on to the checkpoints, so that a stop loses no training."""
        gangs = sorted(self._loads)
        kept = [
            self.pool.keep(gangs[k % len(gangs)], self.ledger.tree.stages[stage_id], state)
            for k, (stage_id, state) in enumerate(self.ledger.states.items())
            if gangs and self.ledger.unkept_s[stage_id]
        ]
        try:
            ray.get(kept)
        except RayError as failure:
            self.progress.say(f"a state could not be kept and will be trained again: {str(failure).splitlines()[-1]}")

    def _await(self, gang: Gang) -> None:
        self._starting.update(dict.fromkeys(gang.ready, gang))

    def _send(self) -> None:
        for role in self.pool.needs:
            self._send_to(role)

    def _send_to(self, role: Role) -> None:
        while not self.stop.asked and self._free(role):
            stage = self.ledger.pop(self.pool.size(role), role)
            if stage is None:
                return
            chain = self.ledger.tree.chain(stage)
            short = sum(self.ledger.estimates.stages_s[s.id] for s in chain) < SHORT_S
            gang = self._gang_for(stage)
            if self._loads[gang] and not short:
                self.ledger.push(stage)
                return
            self._dispatch([chain, *self._fused_with(chain)], gang, short=short)

    def _fused_with(self, chain: list[Stage]) -> list[list[Stage]]:
        """Return chains of other seeds that train along with one, where the recipe has it so."""
        if not (chain[0].recipe.fuse and self.ledger.untried(chain[0]) and any(stage.steps for stage in chain)):
            return []
        return self.ledger.pop_like(chain, len(self._free("train")))

    def _dispatch(self, chains: list[list[Stage]], gang: str, *, short: bool) -> None:
        parents = [
            None if self.ledger.starts_itself(chain[0]) else self.ledger.states[chain[0].parent or ""]
            for chain in chains
        ]
        results, states = self.pool.submit(gang, [self._order(chain) for chain in chains], parents)
        flight = _Flight(chains, self.pool.gangs[gang], results, states, time.monotonic(), short)
        self._flights.update(dict.fromkeys(results, flight))
        self._loads[gang].append(flight)

    def _order(self, chain: list[Stage]) -> WorkOrder:
        stage, last = chain[0], chain[-1]
        self.ledger.attempts[stage.id] += 1
        attempt = self.ledger.attempts[stage.id]
        return WorkOrder(
            chain=chain,
            attempt=attempt,
            look_for_kept=attempt > 1 or stage.id in self.ledger.kept,
            spill=not self.memory.reserve(last.id, expected_bytes(last)),
            unkept_s=self.ledger.unkept_s.get(stage.parent or "", 0.0),
        )

    def _free(self, role: Role) -> list[str]:
        """Return the gangs of a role that are idle, else those that have a single short chain to finish first."""
        loads = {name: load for name, load in self._loads.items() if self.pool.gangs[name].role == role}
        idle = [name for name, load in loads.items() if not load]
        return idle or [name for name, load in loads.items() if len(load) == 1 and load[0].short]

    def _gang_for(self, stage: Stage) -> str:
        """Return the free gang that left the parent's state, if there is one, as it has the state at hand."""
        free = self._free(self.ledger.tree.role(stage))
        holder = self._holders.get(stage.parent or "")
        return holder if holder in free else free[0]

    def _receive(self, reference: Any) -> None:
        if reference in self._starting:
            self._started(reference)
            return
        flight = self._flights.get(reference)
        if flight is None:
            return  # it was given up, or rank 0 is done
        try:
            results: list[StageResult] = ray.get(reference)
        except RayError as failure:
            self._lost(flight, f"worker {flight.gang.name} was lost: {str(failure).splitlines()[0]}")
            return
        stuck = next((r.error for r in results if r.error is not None and r.retry), None)
        if stuck is not None and len(flight.results) > 1:
            self._lost(flight, stuck)  # ranks that wait for the one that raised are of no use any more
        elif reference == flight.results[0] or any(r.error is not None for r in results):
            self._land(flight)
            for chain, state, result in zip(flight.chains, flight.states, results, strict=True):
                self._finished(flight, chain, state, result)
        else:
            del self._flights[reference]

    def _finished(self, flight: _Flight, chain: list[Stage], state: Any, result: StageResult) -> None:
        if result.error is not None:
            self._failed(flight, chain, result.error, retry=result.retry)
            return
        last = chain[-1]
        self.memory.settle(last.id, result.state_bytes)
        self._holders[last.id] = flight.gang.name
        self.ledger.finish(chain, state, result.seconds, kept=result.kept, spared_steps=result.spared_steps)
        self._tidy(chain[0])
        if result.row is not None:
            self._row(result.row)

    def _land(self, flight: _Flight) -> None:
        for reference in flight.results:
            self._flights.pop(reference, None)
        self._loads[flight.gang.name].remove(flight)

    def _tidy(self, stage: Stage) -> None:
        """Give back what no stage needs any more: memory, and checkpoints."""
        if stage.parent is not None and stage.parent not in self.ledger.states:
            self.memory.release(stage.parent)
            self._holders.pop(stage.parent, None)
        for stage_id in self.ledger.obsolete():
            self.store.checkpoints.drop(stage_id)

    def _started(self, reference: Any) -> None:
        gang = self._starting.pop(reference)
        try:
            ray.get(reference)
        except RayError as failure:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                reason = str(failure).strip().splitlines()[-1]
                raise ScalawError(f"{gang.name} can't start: {reason}") from failure
            self._replace(gang.name)
            return
        if gang not in self._starting.values():
            self._loads[gang.name] = []
            self._failed_starts = 0

    def _replace(self, name: str) -> None:
        old = self.pool.gangs[name]
        self._starting = {reference: gang for reference, gang in self._starting.items() if gang is not old}
        self._await(self.pool.replace(name))

    def _lost(self, flight: _Flight, error: str) -> None:
        """Replace a gang and try its flights again elsewhere; one that was queued behind has not begun."""
        name = flight.gang.name
        for queued in self._loads.pop(name):
            for reference in queued.results:
                self._flights.pop(reference, None)
            for chain in queued.chains if queued is not flight else ():
                self.ledger.attempts[chain[0].id] -= 1
                self.memory.release(chain[-1].id)
                self.ledger.push(chain[0])
        self._replace(name)
        for chain in flight.chains:
            self._failed(flight, chain, error, retry=True)

    def _expire(self) -> None:
        if self.stage_timeout_s is None:
            return
        for flight in list({id(f): f for f in self._flights.values()}.values()):
            late = time.monotonic() - flight.sent_s > self.stage_timeout_s * sum(map(len, flight.chains))
            if late and flight.results[0] in self._flights:  # and not given up with another of its gang
                self._lost(flight, f"the stage took longer than resources.stage_timeout_s = {self.stage_timeout_s:g}")

    def _failed(self, flight: _Flight, chain: list[Stage], error: str, *, retry: bool) -> None:
        stage = chain[0]
        self.memory.release(chain[-1].id)
        attempt = self.ledger.attempts[stage.id]
        if retry and attempt <= self.max_retries:
            self.ledger.push(stage)
            return
        for lost in self.ledger.fail(stage):
            if lost.cell is None:
                continue
            text = error if lost in chain else f"{stage.kind} stage {stage.id[:12]} failed before it:\n{error}"
            row = failure_row(lost.cell, self.pool.context, error=text, attempt=attempt, worker=flight.gang.name)
            self.store.commit_row(row)
            self._row(row)
        self._tidy(stage)
