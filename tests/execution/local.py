"""A driver on the in-process pool: the real scheduler, policy, worker and store, and no Ray."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from orchestrator.execution.driver import Driver
from orchestrator.execution.failure_policy import FailurePolicy
from orchestrator.execution.pool.local_pool import LocalPool
from orchestrator.execution.pool.protocol import WorkerNeeds
from orchestrator.execution.progress.live_fit import LiveFit
from orchestrator.execution.progress.progress import Progress
from orchestrator.execution.progress.run_log import Journal
from orchestrator.execution.signals import StopSignal
from orchestrator.execution.stage_scheduler import StageScheduler
from orchestrator.execution.stall import StallRule
from orchestrator.execution.state_memory import StateMemory
from orchestrator.execution.store_writer import StoreWriter
from orchestrator.planning import Plan, make_plan
from orchestrator.planning.tree import Stage
from orchestrator.programs.program import Program
from orchestrator.spec import parse_sweep
from orchestrator.store import Store, open_store

#: What a row must have equal to the bit however it came about.
MEASURED = ("train_loss", "val_loss", "test_loss", "accuracy", "model_bytes", "density", "bits_per_param", "epsilon")


@dataclass
class LocalRun:
    """One driver at work on a sweep in a store; `on_step` is where tests kill, lose and stop."""

    text: str
    store: Store
    overrides: list[str] = field(default_factory=list)
    gangs: int = 1
    nodes: tuple[str, ...] = ("node-0",)
    on_step: Callable[[LocalRun, str, Stage, int], None] = lambda run, gang, stage, step: None
    budget_bytes: int = 1 << 40
    stall_s: float = 60.0
    program: Program | None = None
    share: bool = True

    def __post_init__(self) -> None:
        self.plan: Plan = make_plan(
            parse_sweep(self.text, overrides=self.overrides), program=self.program, share=self.share
        )
        self.stop = StopSignal()
        self.journal = Journal(Console(file=io.StringIO(), width=200))
        resources = self.plan.sweep.resources
        needs = WorkerNeeds(
            cpus=1,
            gpus=0.0,
            checkpoint_interval_s=resources.checkpoint_interval_s,
            store_patience_s=resources.store_patience_s,
        )
        missing = [cell for cell in self.plan.cells if cell.id not in self.store.done()]
        tree = self.plan.tree.towards({cell.id for cell in missing})
        memory = StateMemory(self.budget_bytes)
        self.writer = StoreWriter()
        self.scheduler = StageScheduler(
            tree, self.plan.rate, kept=self.store.checkpoints.kept(), released=memory.release
        )
        self.pool = LocalPool(
            self.plan.context,
            self.store.uri,
            self.store.identity(),
            {"train": needs, "score": needs},
            nodes=self.nodes,
            on_step=lambda gang, stage, step: self.on_step(self, gang, stage, step),
        )
        self.policy = FailurePolicy(resources.max_retries, resources.cluster_patience_s)
        self.driver = Driver(
            scheduler=self.scheduler,
            pool=self.pool,
            policy=self.policy,
            context=self.plan.context,
            store=self.store.patient(resources.store_patience_s),
            glance=self.store,
            writer=self.writer,
            progress=Progress(
                name="local",
                cells=len(self.plan.cells),
                already=len(self.plan.cells) - len(missing),
                flops=tree.flops,
                fit=LiveFit("loss", ""),
                journal=self.journal,
                heartbeat=lambda counts: None,
            ),
            stop=self.stop,
            memory=memory,
            stage_timeout_s=resources.stage_timeout_s,
            copies=resources.state_copies == 1,
            stall=StallRule(self.stall_s),
        )

    def run(self) -> LocalRun:
        """Lead the sweep to its end, or to where it stops or raises."""
        try:
            self.driver.run(self.gangs)
            self.writer.flush(60)
        finally:
            self.driver.close()
            self.writer.close(5)
        return self

    @property
    def said(self) -> str:
        """What the run has told a person."""
        return str(self.journal.console.file.getvalue())  # type: ignore[attr-defined]


def rows(store: Store) -> dict[str, tuple[Any, ...]]:
    """Return what each cell of a store measured, or why it failed, by its id."""
    return {
        row["cell_id"]: ("failed", row["error"]) if row["status"] == "failed" else tuple(row[k] for k in MEASURED)
        for row in store.results().to_pylist()
    }


def new_store(folder: Any) -> Store:
    """Return an empty store in a folder."""
    return open_store(str(folder), create=True)
