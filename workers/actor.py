"""The thin Ray actor: keeps an engine warm, runs a chain of stages a call and commits the row that it measured."""

from __future__ import annotations

import math
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Final

import ray
from ray.util.metrics import Histogram
from threadpoolctl import threadpool_limits

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import FAMILIES
from orchestrator.store import open_store
from orchestrator.store.cell_row import cell_columns
from workers.checkpointer import Keeper
from workers.messages import Kept, StageResult, WorkOrder
from workers.rank import Rank

#: Buckets of the seconds that a commit takes: a local disk to a slow bucket.
COMMIT_S: Final = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]


class Worker:
    """Holds a device, the data set and the imports; one of a sweep's pool, by itself or as a rank of a gang.

    Parameters
    ----------
    name
        ``scalaw-worker-0`` …
    context
        What the sweep's stages share.
    store_uri
        Store to which rows and checkpoints go.
    threads
        Threads of torch and BLAS.
    on_gpu
        Whether Ray gave it a GPU or a share of one.
    rank
        Its place in the gang.
    checkpoint_interval_s
        Most training time that its loss may cost.
    """

    def __init__(
        self,
        name: str,
        context: RunContext,
        store_uri: str,
        *,
        threads: int,
        on_gpu: bool,
        rank: Rank,
        checkpoint_interval_s: float,
    ) -> None:
        self.name = name
        self._commit_s = Histogram("scalaw_commit_s", "Seconds to commit a row to the store.", boundaries=COMMIT_S)
        self.context = context
        self.rank = rank
        self.on_gpu = on_gpu
        self.meeting: Any = None
        self.store = open_store(store_uri)
        self.engine = FAMILIES.load_training(context.family)().engine()(context, rank, on_gpu=on_gpu)
        self.keeper = Keeper(
            self.store.checkpoints,
            self.engine.pack,
            self.engine.unpack,
            interval_s=checkpoint_interval_s if rank.leads else math.inf,
        )
        self.limits = threadpool_limits(limits=threads)

    def __repr__(self) -> str:
        return self.name  # Ray reads it once; the stage is the name of the task

    def meet(self) -> tuple[str, int]:
        """Open the place where this generation of the gang meets; return its host and port."""
        from workers.training.group import open_meeting

        host = ray.util.get_node_ip_address()
        self.meeting = open_meeting(host, self.rank.world_size)
        return host, self.meeting.port

    def join(self, place: list[Any]) -> str:
        """Return the device's kind once the engine is warm and, in a gang, all ranks have met.

        Parameters
        ----------
        place
            The reference to what ``meet`` returns on rank 0; empty without a gang.

        Raises
        ------
        ray.exceptions.GetTimeoutError
            If rank 0 hangs.
        """
        for reference in place:
            from workers.training import group

            host, port = ray.get(reference, timeout=group.TIMEOUT.total_seconds())
            group.join(self.rank, host, port, self.meeting, on_gpu=self.on_gpu)
        return str(self.engine.device_kind)

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
        self.keeper.start(max(order.unkept_s for order in orders))
        if len(orders) == 1:
            done = [self._run_chain(orders[0], parents[0], started)]
        else:
            done = self._run_lot(orders, parents, started)
        seconds = (time.perf_counter() - begun) / len(orders)
        results = [replace(result, seconds=seconds, kept=self.keeper.kept) for result, _ in done]
        return results, *(state for _, state in done)

    def keep(self, stage: Stage, state: Any) -> None:
        """Write a state that this sweep still needs to the checkpoints, unless it lies there already."""
        if not isinstance(state, Kept):
            self.keeper.keep(stage, state)

    def _run_chain(self, order: WorkOrder, parent: Any, started: datetime) -> tuple[StageResult, Any]:
        try:
            chain, state, spared = self._from(order, parent)
            row = None
            for stage in chain:
                if stage.kind == "evaluate":
                    row = self._measure(stage, state, order.attempt, started) if self.rank.leads else None
                    state = None
                elif stage.kind != "merge" or self.rank.leads:
                    state = self.engine.train(stage, state, self.keeper)
            state, size = self._handed_over(order, state)
        except Exception as failure:
            return StageResult(error=traceback.format_exc(), retry=not isinstance(failure, ArithmeticError)), None
        return StageResult(row=row, state_bytes=size, spared_steps=spared), state

    def _run_lot(self, orders: list[WorkOrder], parents: Any, started: datetime) -> list[tuple[StageResult, Any]]:
        """Train the chains' common stages together, and do what is left of each by itself."""
        trained = len(list(takewhile(lambda stage: stage.steps and stage.phase == "pretrain", orders[0].chain)))
        try:
            states: list[Any] = [self._from(order, parent)[1] for order, parent in zip(orders, parents, strict=True)]
            for k in range(trained):
                going = [i for i, state in enumerate(states) if not isinstance(state, ArithmeticError)]
                together = self.engine.train_together([orders[i].chain[k] for i in going], [states[i] for i in going])
                states = [together.pop(0) if i in going else state for i, state in enumerate(states)]
        except Exception:
            return [(StageResult(error=traceback.format_exc()), None)] * len(orders)
        return [self._run_rest(order, trained, state, started) for order, state in zip(orders, states, strict=True)]

    def _run_rest(self, order: WorkOrder, trained: int, state: Any, started: datetime) -> tuple[StageResult, Any]:
        """Do what follows the first, trained stages of a chain."""
        if isinstance(state, ArithmeticError):
            return StageResult(error=str(state), retry=False), None
        rest = replace(order, chain=order.chain[trained:])
        if rest.chain:
            return self._run_chain(rest, state, started)
        state, size = self._handed_over(order, state)
        return StageResult(state_bytes=size), state

    def _from(self, order: WorkOrder, parent: Any) -> tuple[list[Stage], Any, int]:
        """Return what is left of the chain, the state to go on from, and the optimiser steps that are spared."""
        if order.look_for_kept:
            for k in reversed(range(len(order.chain))):
                found = self.keeper.found(order.chain[k].id)
                if found is not None:
                    before = sum(stage.steps for stage in order.chain[:k])
                    return order.chain[k:], found, before + found.step - order.chain[k].start_step
        if isinstance(parent, Kept):
            parent = self.keeper.found(parent.stage_id)
        if parent is None and order.chain[0].parent is not None:
            raise RuntimeError(f"the state of stage {order.chain[0].parent[:12]} is gone; run the sweep again")
        return order.chain, parent, 0

    def _handed_over(self, order: WorkOrder, state: Any) -> tuple[Any, int]:
        """Return what travels to the children, and its size in memory."""
        if state is None or not self.rank.leads:
            return None, 0
        last = order.chain[-1]
        if order.spill or self.keeper.due:
            self.keeper.keep(last, state)
        return (Kept(last.id), 0) if order.spill else (state, state.nbytes)

    def _measure(self, stage: Stage, parent: Any, attempt: int, started: datetime) -> dict[str, Any]:
        assert stage.cell is not None
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
        begun = time.perf_counter()
        self.store.commit_row(row)
        self._commit_s.observe(time.perf_counter() - begun)
        return row


#: The class as Ray starts it.
WorkerActor: Any = ray.remote(Worker)
