"""The thin Ray actor: keeps an engine warm, runs one stage a call and commits the row that it measured."""

from __future__ import annotations

import math
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ray
from threadpoolctl import threadpool_limits

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import FAMILIES
from orchestrator.store import open_store
from orchestrator.store.cell_row import cell_columns


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What the driver learns of a chain of stages; the last state itself travels beside it.

    Parameters
    ----------
    seconds
        Wall time on the worker, the commit included.
    row
        The committed row where the chain ends in ``evaluate``.
    error
        Traceback where a stage failed.
    retry
        False where the same chain would fail the same way again.
    """

    seconds: float
    row: dict[str, Any] | None = None
    error: str | None = None
    retry: bool = True


class Worker:
    """Holds a device, the data set and the imports; one of a sweep's pool.

    Parameters
    ----------
    name
        ``scalaw-worker-0`` …
    context
        What the sweep's stages share.
    store_uri
        Store to which rows are committed.
    threads
        Threads of torch and BLAS.
    """

    def __init__(self, name: str, context: RunContext, store_uri: str, threads: int) -> None:
        self.name = name
        self.context = context
        self.threads = threads
        self.stage = "idle"
        self.store = open_store(store_uri)
        self.engine = FAMILIES.load(context.family)().engine()(context)
        self.limits = threadpool_limits(limits=threads)

    def __repr__(self) -> str:
        return f"{self.name}({self.stage})"

    def ready(self) -> str:
        """Return the device's kind once the engine is warm."""
        return str(self.engine.device_kind)

    @ray.method(num_returns=2)
    def run(self, chain: list[Stage], parent: Any, attempt: int) -> tuple[StageResult, Any]:
        """Run stages one after the other, each from the state of the one before.

        Parameters
        ----------
        chain
            What to do.
        parent
            State of the first stage's parent, or ``None``.
        attempt
            1 for the first try.

        Returns
        -------
        tuple
            What happened, and the last stage's state for its children (``None`` after an ``evaluate`` stage).
        """
        started, begun = datetime.now(UTC), time.perf_counter()
        row, state, error, retry = None, parent, None, True
        try:
            for stage in chain:
                self.stage = f"{stage.kind} {stage.id[:8]}"
                if stage.kind == "evaluate":
                    row, state = self._measure(stage, state, attempt, started), None
                else:
                    state = self.engine.train(stage, state)
        except Exception as failure:
            state, error, retry = None, traceback.format_exc(), not isinstance(failure, ArithmeticError)
        self.stage = "idle"
        return StageResult(seconds=time.perf_counter() - begun, row=row, error=error, retry=retry), state

    def _measure(self, stage: Stage, parent: Any, attempt: int, started: datetime) -> dict[str, Any]:
        assert stage.cell is not None
        row = {
            **cell_columns(stage.cell, self.context),
            **self.engine.measure(stage, parent),
            "flops_evaluation": stage.flops_evaluation,
            "device_kind": self.engine.device_kind,
            "world_size": 1,
            "attempt": attempt,
            "worker": self.name,
            "started_at": started,
            "finished_at": datetime.now(UTC),
            "status": "ok",
        }
        if not math.isfinite(row["val_loss"]):
            raise ArithmeticError(f"the validation loss is {row['val_loss']}: the model has diverged")
        self.store.commit_row(row)
        return row


#: The class as Ray starts it.
WorkerActor: Any = ray.remote(Worker)
