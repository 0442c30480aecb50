"""The driver: sends ready stages to idle workers until the tree is done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from orchestrator.errors import ScalawError
from orchestrator.execution.interrupt import StopSignal
from orchestrator.execution.ledger import Ledger
from orchestrator.execution.pool import Pool
from orchestrator.execution.progress import Progress
from orchestrator.planning.tree import Stage
from orchestrator.store import Store
from orchestrator.store.cell_row import failure_row
from workers.actor import StageResult

#: How often an idle driver looks at signals, timeouts and the clock.
TICK_S = 0.25
#: A chain that takes less than this is short: the next one is queued behind it, as the round trip would cost more.
SHORT_S = 0.02
#: Workers that may fail to start before the sweep gives up.
MOST_FAILED_STARTS = 3


@dataclass(frozen=True)
class _Flight:
    """A chain of stages on its way: where it runs, its last state's reference and when it was sent."""

    chain: list[Stage]
    worker: str
    actor: Any
    state: Any
    sent_s: float
    short: bool


@dataclass
class Driver:
    """Leads a stage tree to its rows.

    Guarantees: a failed stage is tried at most ``1 + max_retries`` times, then its cells get failure rows and the rest
    goes on (I7); a stage is sent only when its parent's state is there; after a stop is asked for nothing more is sent.
    """

    ledger: Ledger
    pool: Pool
    store: Store
    progress: Progress
    stop: StopSignal
    max_retries: int
    stage_timeout_s: float | None
    _loads: dict[str, list[_Flight]] = field(default_factory=dict)
    _starting: dict[Any, str] = field(default_factory=dict)
    _flights: dict[Any, _Flight] = field(default_factory=dict)
    _failed_starts: int = 0

    def run(self, workers: int) -> None:
        """Start the workers and return when every stage is done or failed, or a stop was asked for."""
        self._starting = self.pool.start(workers)
        while self.ledger.unfinished:
            self._send()
            if self.stop.asked and not self._flights:
                return
            warm = len(self.pool.workers) - len(self._starting)
            busy = sum(bool(load) for load in self._loads.values())
            self.progress.tick(self.ledger, warm=warm, busy=busy, stopping=self.stop.asked)
            pending = [*self._flights, *(() if self.stop.asked else self._starting)]
            ready, _ = ray.wait(pending, timeout=TICK_S)
            for reference in ready:
                self._receive(reference)
            self._expire()

    def _send(self) -> None:
        while not self.stop.asked and (worker := self._free_worker()) is not None:
            stage = self.ledger.pop(len(self.pool.workers))
            if stage is None:
                return
            chain = self.ledger.tree.chain(stage)
            short = sum(self.ledger.estimates_s[s.id] for s in chain) < SHORT_S
            if self._loads[worker] and not short:
                self.ledger.push(stage)
                return
            self.ledger.attempts[stage.id] += 1
            parent = self.ledger.states[stage.parent] if stage.parent else None
            result, state = self.pool.submit(worker, chain, parent, self.ledger.attempts[stage.id])
            actor = self.pool.workers[worker]
            flight = _Flight(chain, worker, actor, state, time.monotonic(), short)
            self._flights[result] = flight
            self._loads[worker].append(flight)

    def _free_worker(self) -> str | None:
        """Return a worker that is idle, or else one that has a single short chain to finish first."""
        free = (name for name, load in self._loads.items() if not load or (len(load) == 1 and load[0].short))
        return min(free, key=lambda name: len(self._loads[name]), default=None)

    def _receive(self, reference: Any) -> None:
        if reference in self._starting:
            self._started(reference)
            return
        flight = self._flights.pop(reference, None)
        if flight is None:
            return  # it was given up in the meantime
        try:
            result: StageResult = ray.get(reference)
        except RayError as failure:
            self._lost(flight, f"worker {flight.worker} was lost: {str(failure).splitlines()[0]}")
            return
        self._loads[flight.worker].remove(flight)
        if result.error is not None:
            self._failed(flight, result.error, retry=result.retry)
            return
        self.ledger.finish(flight.chain, flight.state, result.seconds)
        if result.row is not None:
            self.progress.row(result.row)

    def _started(self, reference: Any) -> None:
        name = self._starting.pop(reference)
        try:
            ray.get(reference)
        except RayError as failure:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                reason = str(failure).strip().splitlines()[-1]
                raise ScalawError(f"{name} can't start: {reason}") from failure
            again, name = self.pool.replace(name)
            self._starting[again] = name
            return
        self._loads[name] = []

    def _lost(self, flight: _Flight, error: str) -> None:
        """Replace a worker, unless another of its flights has done so, and try the flight again elsewhere."""
        if self.pool.workers[flight.worker] is flight.actor:
            for queued in self._loads.pop(flight.worker)[1:]:
                self.ledger.attempts[queued.chain[0].id] -= 1  # it never began
            reference, name = self.pool.replace(flight.worker)
            self._starting[reference] = name
        self._failed(flight, error, retry=True)

    def _expire(self) -> None:
        if self.stage_timeout_s is None:
            return
        for reference, flight in list(self._flights.items()):
            if time.monotonic() - flight.sent_s > self.stage_timeout_s * len(flight.chain):
                del self._flights[reference]
                self._lost(flight, f"the stage took longer than resources.stage_timeout_s = {self.stage_timeout_s:g}")

    def _failed(self, flight: _Flight, error: str, *, retry: bool) -> None:
        stage = flight.chain[0]
        attempt = self.ledger.attempts[stage.id]
        if retry and attempt <= self.max_retries:
            self.ledger.push(stage)
            return
        for lost in self.ledger.fail(stage):
            if lost.cell is None:
                continue
            text = error if lost in flight.chain else f"{stage.kind} stage {stage.id[:12]} failed before it:\n{error}"
            row = failure_row(lost.cell, self.pool.context, error=text, attempt=attempt, worker=flight.worker)
            self.store.commit_row(row)
            self.progress.row(row)
