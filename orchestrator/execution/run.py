"""A sweep from plan to answer: trains what the store lacks, then fits what it holds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from orchestrator.errors import BadInput
from orchestrator.execution.answer import Answer, answer
from orchestrator.execution.knock import knock
from orchestrator.planning import Plan, make_plan
from orchestrator.planning.cell import Cell
from orchestrator.store import Store, open_store

if TYPE_CHECKING:
    from orchestrator.fitting import FitReport


#: Single parts from which a finished run merges them, so that reading stays fast.
COMPACT_PARTS = 1_000


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run leaves behind.

    Attributes
    ----------
    rows, failed
        Cells of the sweep with a row, and with a failure row, in the store now.
    missing
        Cells without either; positive after an interruption.
    wall_s
        Seconds of this run.
    flops_spent
        Training FLOPs of this run.
    worker_s
        Seconds that workers spent in stages, over all workers.
    interrupted
        True when a stop was asked for.
    answer
        The fits, unless the run was interrupted before there was anything to fit.
    """

    sweep: str
    rows: int
    failed: int
    missing: int
    wall_s: float
    flops_spent: int
    worker_s: float
    interrupted: bool
    answer: Answer

    @property
    def report(self) -> FitReport | None:
        """The fit report."""
        return self.answer.report


@dataclass(frozen=True)
class Spent:
    """What training took: FLOPs, seconds over all workers, and whether it was stopped before its end."""

    flops: int
    worker_s: float
    interrupted: bool


def run_sweep(
    sweep: Any,
    *,
    store: str,
    address: str | None = None,
    share: bool = True,
    retry_failed: bool = False,
    dashboard: bool = True,
    console: Console | None = None,
) -> RunResult:
    """Run a parsed sweep into a store; safe to repeat.

    Parameters
    ----------
    sweep
        From :func:`orchestrator.load_sweep`.
    store
        Folder or object-store URI.
    address
        Ray cluster to join; ``None`` starts Ray on this machine.
    share
        False trains every cell alone.
    retry_failed
        Train cells again that have a failure row.
    dashboard
        Whether a cluster that we start serves Ray's dashboard.
    console
        Where progress is shown; stderr by default.

    Raises
    ------
    BadInput
        If the sweep can't be planned or the store is another's; nothing was started or written.
    Unreachable
        If store or cluster can't be reached.
    """
    begun = time.perf_counter()
    console = console or Console(stderr=True)
    plan = make_plan(sweep, share=share)
    for warning in plan.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    if address is not None:
        knock(address)
    _check_cores(sweep, address)
    target = open_store(store, create=True)
    _commit_sweep(target, plan)
    ids = [cell.id for cell in plan.cells]
    if retry_failed:
        done = target.done()
        target.forget_failures([cell_id for cell_id in ids if done.get(cell_id) == "failed"])
    target.results(sweep.name)  # sets damaged parts aside, so that their cells count as missing
    missing = _missing(plan.cells, target.done())
    spent = Spent(0, 0.0, interrupted=False)
    if missing:
        spent = _train(plan, missing, target, store, address, dashboard=dashboard, console=console)
    done = target.done()
    target.compact(at_least=COMPACT_PARTS)
    fitted = answer(target, sweep.name)
    return RunResult(
        sweep=sweep.name,
        rows=sum(done.get(cell_id) == "ok" for cell_id in ids),
        failed=sum(done.get(cell_id) == "failed" for cell_id in ids),
        missing=len(_missing(plan.cells, done)),
        wall_s=time.perf_counter() - begun,
        flops_spent=spent.flops,
        worker_s=spent.worker_s,
        interrupted=spent.interrupted,
        answer=fitted,
    )


def _check_cores(sweep: Any, address: str | None) -> None:
    """Refuse a worker that this machine can't hold, unless it will run on a cluster elsewhere."""
    cores, needed = len(os.sched_getaffinity(0)), sweep.resources.cpus_per_worker
    if address is None and needed > cores:
        raise BadInput(
            f"{sweep.name}: resources.cpus_per_worker is {needed:,}, but this machine has {cores} cores; "
            "lower it, or join a larger cluster with --address"
        )


def _missing(cells: list[Cell], done: Mapping[str, str]) -> list[Cell]:
    return [cell for cell in cells if cell.id not in done]


def _commit_sweep(store: Store, plan: Plan) -> None:
    """Record the resolved sweep and its cells before the first stage (I4)."""
    store.save_sweep(
        plan.sweep.name,
        {
            "sweep": plan.sweep.canonical(),
            "recipe": plan.context.recipe.to_json(),
            "task": plan.context.manifest.task,
            "data_digest": plan.context.manifest.digest,
            "cells": [cell.id for cell in plan.cells],
        },
    )


def _train(
    plan: Plan,
    cells: list[Cell],
    store: Store,
    uri: str,
    address: str | None,
    *,
    dashboard: bool,
    console: Console,
) -> Spent:
    """Train and measure the given cells."""
    import ray

    from orchestrator.execution.cluster import connected
    from orchestrator.execution.driver import Driver
    from orchestrator.execution.interrupt import StopSignal
    from orchestrator.execution.ledger import Ledger
    from orchestrator.execution.live_fit import LiveFit
    from orchestrator.execution.pool import Pool, WorkerNeeds
    from orchestrator.execution.progress import Progress

    resources = plan.sweep.resources
    needs = WorkerNeeds(cpus=resources.cpus_per_worker, gpus=resources.gpus_per_worker)
    tree = plan.tree if len(cells) == len(plan.cells) else plan.tree_for(cells)
    wanted = plan.workers if resources.workers != "auto" else None
    cpus = max(len(os.sched_getaffinity(0)), needs.cpus * (wanted or 1))
    ledger = Ledger(tree, plan.rate)
    progress = Progress(
        name=plan.sweep.name,
        cells=len(plan.cells),
        already=len(plan.cells) - len(cells),
        flops=sum(stage.flops for stage in tree),
        fit=LiveFit(plan.sweep.fit.target),
        console=console,
        heartbeat=lambda counts: _beat(store, plan.sweep.name, counts),
    )
    with connected(address, cpus=cpus, gpus=needs.gpus, dashboard=dashboard) as cluster, StopSignal() as stop:
        if cluster["dashboard_url"]:
            console.print(f"Ray dashboard: http://{cluster['dashboard_url']}", markup=False, highlight=False)
        workers = min(wanted or _fitting_workers(ray.cluster_resources(), needs), len(tree.cells()))
        pool = Pool(plan.context, uri, needs, namespace=f"scalaw-{plan.sweep.name}-{os.getpid()}")
        driver = Driver(
            ledger,
            pool,
            store,
            progress,
            stop,
            max_retries=resources.max_retries,
            stage_timeout_s=resources.stage_timeout_s,
        )
        with progress:
            try:
                driver.run(workers)
            finally:
                pool.stop()
                _beat(store, plan.sweep.name, {"stopped": True})
    return Spent(ledger.flops_spent, ledger.measured_s, interrupted=stop.asked and ledger.unfinished > 0)


def _fitting_workers(cluster: Mapping[str, float], needs: Any) -> int:
    """Return how many workers a cluster holds.

    Raises
    ------
    BadInput
        If it holds none.
    """
    by_cpu = int(cluster.get("CPU", 0) // needs.cpus)
    workers = min(by_cpu, int(cluster.get("GPU", 0) / needs.gpus)) if needs.gpus else by_cpu
    if workers < 1:
        raise BadInput(
            f"the cluster has {cluster.get('CPU', 0):g} CPUs and {cluster.get('GPU', 0):g} GPUs, too few "
            f"for one worker ({needs.cpus} CPUs, {needs.gpus:g} GPUs); "
            "lower resources.cpus_per_worker or resources.gpus_per_worker"
        )
    return workers


def _beat(store: Store, name: str, counts: dict[str, Any]) -> None:
    store.save_heartbeat(name, {**counts, "pid": os.getpid(), "updated_at": datetime.now(UTC).isoformat()})
