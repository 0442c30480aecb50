"""The part of a run that needs Ray: starts or joins a cluster and leads a plan's missing cells to their rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BadInput
from orchestrator.execution.run_log import Journal
from orchestrator.planning import Plan
from orchestrator.planning.cell import Cell
from orchestrator.planning.recipe import recipe_name
from orchestrator.spec.sections.resources import Resources
from orchestrator.store import Store
from orchestrator.store.heartbeat import beat

if TYPE_CHECKING:
    from orchestrator.execution.active_selection import CellChooser
    from orchestrator.execution.driver import Driver
    from orchestrator.execution.pool import WorkerNeeds
    from orchestrator.execution.progress import Progress
    from orchestrator.planning.tree import Role

#: Share of the object store that states may take; Ray needs the rest for arguments and rows in flight.
STATE_SHARE = 0.5


@dataclass(frozen=True)
class Spent:
    """What training took: FLOPs, seconds over all workers, memory of states, and whether it was stopped early."""

    flops: int = 0
    worker_s: float = 0.0
    interrupted: bool = False
    peak_state_bytes: int = 0
    spilled: int = 0


def train(
    plan: Plan,
    cells: list[Cell],
    store: Store,
    address: str | None,
    begin: Callable[[], None],
    *,
    dashboard: bool,
    journal: Journal,
    chooser: CellChooser | None = None,
) -> Spent:
    """Train and measure some cells of a plan.

    Parameters
    ----------
    cells
        Those that the store lacks.
    begin
        Called once the cluster is there and holds a gang; before that nothing is written.
    address, dashboard, journal
        As in :func:`orchestrator.run_sweep`; the journal takes what is said.
    chooser
        Chooses which of the cells are trained; ``None``: all.

    Raises
    ------
    BadInput
        If the cluster can't hold one gang.
    Unreachable
        If there is no cluster, or one of its nodes does not see the store.
    """
    import ray

    from orchestrator.execution.cluster import connected, head_has_ended
    from orchestrator.execution.driver import Driver
    from orchestrator.execution.elastic import Elastic
    from orchestrator.execution.pool import Pool
    from orchestrator.execution.signals import StopSignal
    from orchestrator.execution.stage_scheduler import Ledger
    from orchestrator.execution.state_memory import StateMemory

    resources, roles = plan.sweep.resources, _needs(plan)
    needs = roles["train"]
    most = len(cells) if address is not None else min(len(cells), len(os.sched_getaffinity(0)))
    beside = [roles["score"]] * min(resources.cpu_workers, most)
    tree = replace(plan.tree.towards({cell.id for cell in cells}), scored_apart=bool(beside))
    wanted = plan.gangs if resources.workers != "auto" else None
    kept = store.checkpoints.names() & tree.stages.keys()
    ledger = Ledger(tree, plan.rate, kept=kept, wanted=None if chooser is None else ())
    with (
        connected(address, cpus=_cores(needs, wanted or 1, len(beside)), dashboard=dashboard) as cluster,
        StopSignal() as stop,
    ):
        _look_around(cluster["dashboard_url"], None if address is None else store, journal)
        gangs = min(wanted or _fitting_gangs(needs, beside), len(cells))
        begin()
        progress = _progress(plan, len(cells), sum(stage.flops for stage in tree), store, journal)
        progress.beat()
        journal.say(_intention(plan, len(cells), gangs, len(beside)))
        pool = Pool(plan.context, store.uri, roles, namespace=f"scalaw-{plan.sweep.name}-{os.getpid()}")
        driver = Driver(
            ledger,
            pool,
            store,
            progress,
            stop,
            StateMemory(_state_budget_bytes(resources, ray.cluster_resources())),
            max_retries=resources.max_retries,
            stage_timeout_s=resources.stage_timeout_s,
            chooser=chooser,
            elastic=None if address is None else Elastic(needs, wanted, beside),
            head_has_ended=head_has_ended,
        )
        with journal.kept(store, plan.sweep.name), progress:
            try:
                driver.run(gangs, len(beside))
            finally:
                driver.close()
                beat(store, plan.sweep.name, {"stopped": True})
    return _spent(driver, needs.world_size)


def _cores(needs: WorkerNeeds, gangs: int, scorers: int) -> int:
    """Return the CPUs that a Ray of this machine is told to have: those it has, or what was asked for by number."""
    return max(len(os.sched_getaffinity(0)), needs.cpus * (needs.world_size * gangs + scorers))


def _look_around(dashboard: str, shared: Store | None, journal: Journal) -> None:
    """Say where the dashboard is, and let all nodes try a store that they are to share."""
    from orchestrator.execution.store_probe import check_nodes_see

    if dashboard:
        journal.say(f"Ray dashboard: http://{dashboard}")
    if shared is not None:
        check_nodes_see(shared)


def _spent(driver: Driver, world_size: int) -> Spent:
    ledger, chooser, memory = driver.ledger, driver.chooser, driver.memory
    left = ledger.unfinished > 0 or (chooser is not None and chooser.reached is None)
    worker_s = ledger.estimates.measured_s * world_size
    return Spent(ledger.flops_spent, worker_s, driver.stop.asked and left, memory.peak_bytes, memory.spilled)


def _intention(plan: Plan, missing: int, gangs: int, scorers: int) -> str:
    beside = f", {scorers:,} CPU workers beside them" if scorers else ""
    return f"{plan.sweep.name}: {missing:,} of {len(plan.cells):,} cells to train, {gangs:,} at a time{beside}"


def _needs(plan: Plan) -> dict[Role, WorkerNeeds]:
    from orchestrator.execution.pool import WorkerNeeds

    resources = plan.sweep.resources
    training = WorkerNeeds(
        cpus=resources.cpus_per_worker,
        gpus=resources.gpus_per_worker,
        world_size=resources.world_size,
        checkpoint_interval_s=resources.checkpoint_interval_s,
        memory_bytes=resources.memory_bytes_per_worker,
        accelerator=resources.accelerator,
        labels=resources.labels,
    )
    return {"train": training, "score": replace(training, gpus=0.0, world_size=1, accelerator=None, labels={})}


def _progress(plan: Plan, missing: int, flops: int, store: Store, journal: Journal) -> Progress:
    from orchestrator.execution.job_message import JobMessage
    from orchestrator.execution.live_fit import LiveFit
    from orchestrator.execution.metrics import Metrics
    from orchestrator.execution.progress import Progress

    def heartbeat(counts: dict[str, Any]) -> None:
        beat(store, plan.sweep.name, counts)
        journal.save(store, plan.sweep.name)

    return Progress(
        name=plan.sweep.name,
        cells=len(plan.cells),
        already=len(plan.cells) - missing,
        flops=flops,
        fit=LiveFit(plan.sweep.fit.target, recipe_name(plan.cells[0].recipe)),
        journal=journal,
        heartbeat=heartbeat,
        metrics=Metrics(plan.sweep.name),
        message=JobMessage().say,
    )


def _fitting_gangs(needs: WorkerNeeds, beside: Sequence[WorkerNeeds]) -> int:
    """Return how many gangs of workers the cluster holds beside those that evaluate and compress.

    Raises
    ------
    BadInput
        If it holds none.
    """
    import ray

    from orchestrator.execution.elastic import fitting_gangs

    found = fitting_gangs(needs, beside)
    if not found:
        there = ray.cluster_resources()
        asked = [f"{needs.cpus} CPUs", f"{needs.gpus:g} GPUs"]
        asked += [f"{needs.memory_bytes:,} bytes of memory"] if needs.memory_bytes else []
        asked += [f"accelerator {needs.accelerator}"] if needs.accelerator else []
        asked += [f"label {name}: {value}" for name, value in needs.labels.items()]
        others = f" beside {len(beside):,} CPU workers" if beside else ""
        raise BadInput(
            f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs, too few for "
            f"{'one worker' if needs.world_size == 1 else f'{needs.world_size} workers'} "
            f"({', '.join(asked)} each, on one node){others}; ask for less under resources, or name a number of "
            "resources.workers to wait for nodes that an autoscaler adds"
        )
    return found


def _state_budget_bytes(resources: Resources, cluster: Mapping[str, float]) -> int:
    """Return what states between stages may take of the object store."""
    if resources.state_memory_bytes != "auto":
        return int(resources.state_memory_bytes)
    return int(STATE_SHARE * cluster.get("object_store_memory", 0))
