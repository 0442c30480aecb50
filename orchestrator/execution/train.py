"""The part of a run that needs Ray: starts or joins a cluster and leads a plan's missing cells to their rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BadInput, ClusterLost
from orchestrator.execution import guard
from orchestrator.execution.failure_policy import FailurePolicy
from orchestrator.execution.progress.run_log import Journal
from orchestrator.execution.store_writer import StoreWriter
from orchestrator.planning import Plan
from orchestrator.planning.cell import Cell
from orchestrator.planning.machine import usable_cores
from orchestrator.planning.recipe import recipe_name
from orchestrator.spec.sections.resources import Resources
from orchestrator.store import Store
from orchestrator.store.heartbeat import Lease

if TYPE_CHECKING:
    from orchestrator.execution.active_selection import CellChooser
    from orchestrator.execution.driver import Driver
    from orchestrator.execution.pool.protocol import WorkerNeeds
    from orchestrator.execution.progress.progress import Progress
    from orchestrator.planning.tree import Role

#: Share of the object store that states may take; Ray needs the rest for arguments and rows in flight.
STATE_SHARE = 0.5
#: Seconds that the end of a run waits for the driver's last writes, where a stop was asked for.
STOP_WRITES_S = 20.0
#: Seconds that a cluster has to end the workers.
CLOSE_S = 5.0


@dataclass(frozen=True)
class Spent:
    """What training took: FLOPs, seconds over all workers, memory of states, and whether it was stopped early."""

    flops: int = 0
    worker_s: float = 0.0
    interrupted: bool = False
    peak_state_bytes: int = 0
    spilled: int = 0

    def and_then(self, other: Spent) -> Spent:
        """Return what both took, one after the other."""
        return Spent(
            self.flops + other.flops,
            self.worker_s + other.worker_s,
            other.interrupted,
            max(self.peak_state_bytes, other.peak_state_bytes),
            self.spilled + other.spilled,
        )


@dataclass
class Training:
    """Some cells of a plan on their way to their rows.

    Parameters
    ----------
    plan, store
        What is trained, and where to.
    address
        Ray cluster to join; ``None`` starts one here.
    begin
        Called once the cluster is there and holds a gang, before which nothing is written; returns the right to lead.
    dashboard, journal
        As in :func:`orchestrator.run_sweep`; the journal takes what is said.
    chooser
        Chooses which of the cells are trained; ``None``: all.
    """

    plan: Plan
    store: Store
    address: str | None
    begin: Callable[[], Lease]
    dashboard: bool
    journal: Journal
    chooser: CellChooser | None = None

    def __post_init__(self) -> None:
        resources = self.plan.sweep.resources
        self.policy = FailurePolicy(resources.max_retries, resources.cluster_patience_s)
        self.spent = Spent()

    def run(self, cells: Sequence[Cell]) -> Spent:
        """Train and measure the cells that the store lacks.

        A Ray of our own that goes away is started anew, once and again as long as cells were measured in between; what
        was in memory is derived again from the checkpoints.

        Raises
        ------
        BadInput
            If the cluster can't hold one gang.
        Unreachable
            If there is no cluster, one of its nodes does not see the store, or cluster or store were given up.
        """
        left: list[Cell] = list(cells)
        before: int | None = None
        while True:
            try:
                self._lead(left)
            except ClusterLost as lost:
                done = self.store.done()
                left = [cell for cell in left if cell.id not in done]
                ours = self.address is None
                if not ours or before == len(left) or not left:
                    raise ClusterLost(
                        f"{lost}; what is finished is kept: run the same command again to go on"
                        if not ours or left
                        else str(lost)
                    ) from lost
                before = len(left)
                self.journal.say(f"{lost}: starting Ray anew, {len(left):,} cells are left", style="red")
            else:
                return self.spent

    def _lead(self, cells: Sequence[Cell]) -> None:
        """Lead cells to their rows on one cluster."""
        import ray  # seconds to load, which a finished sweep and a refusal do without

        from orchestrator.execution.cluster.connect import connected, head_has_ended
        from orchestrator.execution.cluster.watch import ClusterWatch
        from orchestrator.execution.driver import Driver
        from orchestrator.execution.pool.elastic import Elastic, fitting_gangs
        from orchestrator.execution.pool.ray_pool import RayPool
        from orchestrator.execution.signals import StopSignal
        from orchestrator.execution.stage_scheduler import StageScheduler
        from orchestrator.execution.state_memory import StateMemory

        plan, journal, resources = self.plan, self.journal, self.plan.sweep.resources
        roles = _needs(plan)
        needs = roles["train"]
        most = len(cells) if self.address is not None else min(len(cells), usable_cores())
        beside = [roles["score"]] * min(resources.cpu_workers, most)
        tree = replace(plan.tree.towards({cell.id for cell in cells}), scored_apart=bool(beside))
        wanted = plan.gangs if resources.workers != "auto" else None
        with connected(self.address, cpus=_cores(needs, wanted or 1, len(beside)), dashboard=self.dashboard) as cluster:
            _look_around(cluster["dashboard_url"], None if self.address is None else self.store, journal)
            gangs = min(wanted or _fitting_gangs(needs, beside), len(cells))
            lease = self.begin()
            guard.tell(left=len(cells), ours=cluster["ours"])
            store = self.store.patient(resources.store_patience_s)
            memory = StateMemory(_state_budget_bytes(resources, ray.cluster_resources()))
            scheduler = StageScheduler(
                tree,
                plan.rate,
                kept=self.store.checkpoints.kept(),
                wanted=None if self.chooser is None else self.chooser.asked_for,
                released=memory.release,
            )
            writer = StoreWriter()
            watch = ClusterWatch(
                ray.nodes,
                ray.get_runtime_context().get_node_id(),
                head_has_ended if cluster["ours"] else lambda: False,
            ).start()
            pool = RayPool(
                plan.context,
                self.store.uri,
                self.store.identity(),
                roles,
                namespace=f"scalaw-{plan.sweep.name}-{os.getpid()}",
                watch=watch,
            )
            progress = _progress(plan, cells, tree.flops, store, writer, lease, journal)
            with StopSignal() as stop:
                driver = Driver(
                    scheduler=scheduler,
                    pool=pool,
                    policy=self.policy,
                    context=plan.context,
                    store=store,
                    glance=self.store,
                    writer=writer,
                    progress=progress,
                    stop=stop,
                    memory=memory,
                    stage_timeout_s=resources.stage_timeout_s,
                    copies=resources.state_copies == 1,
                    chooser=self.chooser,
                    elastic=None
                    if self.address is None
                    else Elastic(needs, wanted, beside, lambda one, others: fitting_gangs(one, others, watch.alive())),
                    check_cluster=watch.check,
                )
                progress.beat()
                journal.say(_intention(plan, len(cells), gangs, len(beside)))
                with journal.kept(store, plan.sweep.name, writer), progress:
                    self._drive(driver, gangs, len(beside), watch, needs.world_size)

    def _drive(self, driver: Driver, gangs: int, scorers: int, watch: Any, world_size: int) -> None:
        resources = self.plan.sweep.resources
        there = True
        try:
            driver.run(gangs, scorers)
            driver.writer.flush(STOP_WRITES_S if driver.stop.asked else resources.store_patience_s + STOP_WRITES_S)
        except ClusterLost:
            there = False  # every call to it may block for ever
            raise
        finally:
            self.spent = self.spent.and_then(_spent(driver, world_size))
            watch.close()
            if there:
                # A cluster that went in the last moments, as when its head was killed, answers to none of this.
                closing = threading.Thread(target=driver.close, name="scalaw-close", daemon=True)
                closing.start()
                closing.join(CLOSE_S)


def _cores(needs: WorkerNeeds, gangs: int, scorers: int) -> int:
    """Return the CPUs that a Ray of this machine is told to have: those it has, or what was asked for by number."""
    return max(usable_cores(), needs.cpus * (needs.world_size * gangs + scorers))


def _look_around(dashboard: str, shared: Store | None, journal: Journal) -> None:
    """Say where the dashboard is, and let all nodes try a store that they are to share."""
    from orchestrator.execution.cluster.store_probe import check_nodes_see

    if dashboard:
        journal.say(f"Ray dashboard: http://{dashboard}")
    if shared is not None:
        check_nodes_see(shared)


def _spent(driver: Driver, world_size: int) -> Spent:
    scheduler, chooser, memory = driver.scheduler, driver.chooser, driver.memory
    left = scheduler.unfinished > 0 or (chooser is not None and chooser.reached is None)
    worker_s = scheduler.estimates.measured_s * world_size
    return Spent(scheduler.flops_spent, worker_s, driver.stop.asked and left, memory.peak_bytes, memory.spilled)


def _intention(plan: Plan, missing: int, gangs: int, scorers: int) -> str:
    beside = f", {scorers:,} CPU workers beside them" if scorers else ""
    return f"{plan.sweep.name}: {missing:,} of {len(plan.cells):,} cells to train, {gangs:,} at a time{beside}"


def _needs(plan: Plan) -> dict[Role, WorkerNeeds]:
    from orchestrator.execution.pool.protocol import WorkerNeeds

    resources = plan.sweep.resources
    training = WorkerNeeds(
        cpus=resources.cpus_per_worker,
        gpus=resources.gpus_per_worker,
        world_size=resources.world_size,
        checkpoint_interval_s=resources.checkpoint_interval_s,
        store_patience_s=resources.store_patience_s,
        memory_bytes=resources.memory_bytes_per_worker,
        accelerator=resources.accelerator,
        labels=resources.labels,
    )
    return {"train": training, "score": replace(training, gpus=0.0, world_size=1, accelerator=None, labels={})}


def _progress(
    plan: Plan, missing: Sequence[Cell], flops: int, store: Store, writer: StoreWriter, lease: Lease, journal: Journal
) -> Progress:
    from orchestrator.execution.cluster.job_message import JobMessage
    from orchestrator.execution.progress.live_fit import LiveFit
    from orchestrator.execution.progress.metrics import Metrics
    from orchestrator.execution.progress.progress import Progress

    patient = replace(lease, store=store)

    def heartbeat(counts: dict[str, Any]) -> None:
        writer.put(lambda: patient.beat(counts), key="heartbeat")
        writer.put(lambda: journal.save(store, plan.sweep.name), key="log")

    return Progress(
        name=plan.sweep.name,
        cells=len(plan.cells),
        already=len(plan.cells) - len(missing),
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

    from orchestrator.execution.pool.elastic import fitting_gangs

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
