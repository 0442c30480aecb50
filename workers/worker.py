"""A worker: keeps an engine warm, runs a chain of stages a call and commits the row that it measured.

It knows nothing of Ray: `workers.actor` is the same thing as an actor, and tests run it as it is.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from orchestrator.spec.plugins.admission import admit_to_work
from orchestrator.spec.registries import FAMILIES
from orchestrator.store import Store
from orchestrator.store.cell_row import cell_columns
from orchestrator.store.checkpoints import Progress
from orchestrator.store.location import open_blobs
from orchestrator.store.weights import best_of
from workers.checkpointer import Checkpointer, StateGone, Stopped
from workers.curves import StageCurve
from workers.faults import failure_of
from workers.messages import Kept, Pulse, StageResult, WorkOrder
from workers.protocols import Engine, HasWeights
from workers.rank import Rank
from workers.threads import ThreadCount


class Worker:
    """Holds a device, the data set and the imports; one of a sweep's pool, by itself or as a rank of a gang.

    Guarantees: a chain that raises gives a result that says why, never an exception, and the next chain finds the
    worker as it was; a row is committed before it is told of; while `run` is at work, `pulse` and `stop` may be called
    from another thread.

    Parameters
    ----------
    name
        ``scalaw-worker-0`` …
    context
        What the sweep's stages share.
    store_uri
        Store to which rows and checkpoints go.
    store_id
        What that store calls itself; another one in its place is refused. The driver has looked at what is in it.
    threads
        Threads of torch and BLAS.
    on_gpu
        Whether it has a GPU or a share of one.
    rank
        Its place in the gang.
    checkpoint_interval_s
        Most training time that its loss may cost.
    store_patience_s
        Longest that a write is tried again.
    """

    def __init__(
        self,
        name: str,
        context: RunContext,
        store_uri: str,
        *,
        store_id: str | None,
        threads: int,
        on_gpu: bool,
        rank: Rank,
        checkpoint_interval_s: float,
        store_patience_s: float,
    ) -> None:
        self.name, self.context, self.rank, self.on_gpu = name, context, rank, on_gpu
        self.threads = threads
        admit_to_work(context.plugins)  # before the first order comes, which may hold objects of theirs
        self._store_uri, self._store_id, self._store_patience_s = store_uri, store_id, store_patience_s
        self._checkpoint_interval_s = checkpoint_interval_s
        self._lock = threading.Lock()
        self._warm = self._stop_asked = False

    def warm(self) -> str:
        """Open the store and load what the first chain would otherwise wait for; return the device's kind.

        Raises
        ------
        Unreachable
            If the store does not answer, or is not the one that was meant.
        """
        self.store = Store(open_blobs(self._store_uri, create=True)).patient(self._store_patience_s)
        if self._store_id is not None:
            self.store.insist_on(self._store_id)
        self.checkpointer = Checkpointer(
            self.store.checkpoints,
            lambda state: self.engine.pack(state),
            lambda data: self.engine.unpack(data),
            interval_s=self._checkpoint_interval_s,
            leads=self.rank.leads,
            write_curves=self._write_curves,
        )
        engine = FAMILIES.load_training(self.context.family)().engine()
        self.engine: Engine = engine(self.context, self.rank, on_gpu=self.on_gpu, threads=self.threads)
        self.engine.listen(self.checkpointer.beat)
        self._own_threads = ThreadCount()
        self._warm = True
        return str(self.engine.device_kind)

    def _write_curves(self, curves: list[StageCurve]) -> None:
        self.store.save_curves([curve.table() for curve in curves])

    def pulse(self) -> Pulse:
        """Return a sign of life."""
        if not self._warm:
            return Pulse()
        keeper = self.checkpointer
        return Pulse(keeper.beats, keeper.stepping, keeper.writing, self.store.waits)

    def stop(self) -> None:
        """End the chain at work after its next step, with its state kept."""
        with self._lock:
            self._stop_asked = True
            if self._warm:
                self.checkpointer.stop_asked = True

    def run(self, orders: list[WorkOrder], *parents: Any) -> Any:
        """Run chains of stages, each stage from the state of the one before.

        Parameters
        ----------
        orders
            Mostly one; several have equal stages but for their seeds, and may train as one batched model.
        parents
            For each the state of the first stage's parent, what it is kept as, or ``None``.

        Returns
        -------
        tuple
            The list of what happened, and for each order, on rank 0, the last stage's state for its children (``None``
            after ``evaluate``).
        """
        started, begun = datetime.now(UTC), time.perf_counter()
        keeper = self.checkpointer
        with self._lock:
            keeper.start(max(order.unkept_s for order in orders))
            keeper.stop_asked = self._stop_asked
        with self._own_threads(self.threads):
            if len(orders) == 1:
                done = [self._run_chain(orders[0], parents[0], started)]
            else:
                done = self._run_lot(orders, parents, started)
        seconds = (time.perf_counter() - begun) / len(orders)
        half, whole = keeper.kept(Progress.BEGUN), keeper.kept(Progress.DONE)
        results = [replace(result, seconds=seconds, begun=half, done=whole) for result, _ in done]
        return results, *(state for _, state in done)

    def keep(self, stage: Stage, state: Any) -> None:
        """Write the state of a finished stage that this sweep still needs to the checkpoints."""
        if not isinstance(state, Kept):
            self.checkpointer.keep(stage, state)

    def _run_chain(self, order: WorkOrder, parent: Any, started: datetime) -> tuple[StageResult, Any]:
        done: Stage | None = None
        try:
            chain, state, spared = self._from(order, parent)
            self.engine.foresee([*chain, *order.ahead])
            row = None
            for stage in chain:
                if self.checkpointer.stop_asked and done is not None:
                    self._keep_end(done, state)
                    return StageResult(stopped=True, spared_steps=spared), None
                if stage.kind == "evaluate":
                    row = self._measure(stage, state, order.attempt, started) if self.rank.leads else None
                    state = None
                elif stage.kind != "merge" or self.rank.leads:
                    state = self.engine.train(stage, state, self.checkpointer, order.micro_batches)
                    done = stage
            state, size = self._handed_over(order, state)
        except Stopped:
            return StageResult(stopped=True), None
        except Exception as error:
            return StageResult(failure=failure_of(error)), None
        return StageResult(row=row, state_bytes=size, spared_steps=spared), state

    def _keep_end(self, stage: Stage, state: Any) -> None:
        self.checkpointer.flush_curves()
        if self.rank.leads and stage.steps:
            self.checkpointer.keep(stage, state)

    def _run_lot(
        self, orders: list[WorkOrder], parents: Sequence[Any], started: datetime
    ) -> list[tuple[StageResult, Any]]:
        """Train the chains' common stages together, and do what is left of each by itself.

        Those that an earlier attempt left at one and the same step go on together; else each goes on by itself.
        """
        try:
            starts = [self._from(order, parent) for order, parent in zip(orders, parents, strict=True)]
            left = {(len(chain), getattr(state, "step", 0)) for chain, state, _ in starts}
            if len(left) > 1:
                return [self._run_chain(o, p, started) for o, p in zip(orders, parents, strict=True)]
            chains = [chain for chain, _, _ in starts]
            states: list[Any] = [state for _, state, _ in starts]
            trained = len(list(takewhile(lambda stage: stage.steps and stage.phase == "pretrain", chains[0])))
            for k in range(trained):
                going = [i for i, state in enumerate(states) if not isinstance(state, ArithmeticError)]
                together = self.engine.train_together(
                    [chains[i][k] for i in going], [states[i] for i in going], self.checkpointer
                )
                states = [together.pop(0) if i in going else state for i, state in enumerate(states)]
        except Stopped:
            return [(StageResult(stopped=True), None)] * len(orders)
        except Exception as error:
            return [(StageResult(failure=failure_of(error)), None)] * len(orders)
        found = []
        for order, (chain, _, spared), state in zip(orders, starts, states, strict=True):
            result, end = self._run_rest(replace(order, chain=chain), trained, state, started)
            found.append((replace(result, spared_steps=spared), end))
        return found

    def _run_rest(self, order: WorkOrder, trained: int, state: Any, started: datetime) -> tuple[StageResult, Any]:
        """Do what follows the first, trained stages of a chain."""
        if isinstance(state, ArithmeticError):
            return StageResult(failure=failure_of(state)), None
        rest = replace(order, chain=order.chain[trained:], look_for_kept=False)
        if rest.chain:
            return self._run_chain(rest, state, started)
        try:
            state, size = self._handed_over(order, state)
        except Exception as error:
            return StageResult(failure=failure_of(error)), None
        return StageResult(state_bytes=size), state

    def _from(self, order: WorkOrder, parent: Any) -> tuple[list[Stage], Any, int]:
        """Return what is left of the chain, the state to go on from, and the optimiser steps that are spared."""
        chain = order.chain
        if order.look_for_kept:
            for k in reversed(range(len(chain))):
                found = self.checkpointer.found(chain[k].id)
                if found is None:
                    continue
                before = sum(stage.steps for stage in chain[:k])
                if found.done:
                    return chain[k + 1 :], found, before + chain[k].steps
                return chain[k:], found, before + found.step - chain[k].start_step
        if isinstance(parent, Kept):
            parent = self.checkpointer.finished(parent.stage_id)
        if parent is None and chain[0].parent is not None:
            raise StateGone((chain[0].id,), f"neither the state before stage {chain[0].id[:12]} nor its own is there")
        return chain, parent, 0

    def _handed_over(self, order: WorkOrder, state: Any) -> tuple[Any, int]:
        """Return what travels to the children, and its size in memory; the curves on the way to it are written."""
        self.checkpointer.flush_curves()
        if state is None or not self.rank.leads:
            return None, 0
        last = order.chain[-1]
        if order.spill or self.checkpointer.due or (order.copy and self.checkpointer.was_long):
            self.checkpointer.keep(last, state)
        return (Kept(last.id), 0) if order.spill else (state, state.nbytes)

    def _measure(self, stage: Stage, parent: Any, attempt: int, started: datetime) -> dict[str, Any]:
        assert stage.cell is not None
        self.checkpointer.flush_curves()  # whoever sees the row finds the curves below it
        row = {
            **cell_columns(stage.cell, self.context),
            **self.engine.measure(stage, parent),
            "flops_evaluation": stage.flops_evaluation,
            "device_kind": self.engine.device_kind,
            "world_size": stage.recipe.world_size,
            "attempt": attempt,
            "worker": self.name,
            "started_at": started,
            "finished_at": datetime.now(UTC),
            "status": "ok",
        }
        if not math.isfinite(row["val_loss"]):
            raise ArithmeticError(f"the validation loss is {row['val_loss']}: the model has diverged")
        self._keep_weights(stage, parent, row)  # before the row: a cell that has one is not measured again
        self.commit(row)
        return row

    def _keep_weights(self, stage: Stage, parent: Any, row: dict[str, Any]) -> None:
        keep = self.context.keep
        if keep is None or not isinstance(self.engine, HasWeights):
            return
        cell, loss = row["cell_id"], row["val_loss"]
        if keep.most is None or cell in keep.cells:
            self.store.weights.keep(cell, loss, self.engine.model_file(stage, parent))
        elif keep.most:
            group = best_of(keep.sweep, row["task"])
            self.store.weights.keep(cell, loss, self.engine.model_file(stage, parent), group=group, most=keep.most)

    def commit(self, row: dict[str, Any]) -> None:
        """Write a row to the store."""
        self.store.commit_row(row)
