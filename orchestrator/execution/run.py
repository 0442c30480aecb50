"""A sweep from plan to answer: trains what the store lacks, then fits what it holds."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.console import Console

from orchestrator.analysis.fit_store import Answer, answer
from orchestrator.analysis.garbage import drop_older_layout, tidy_after_run
from orchestrator.errors import BadInput, StoreReplaced, Unreachable
from orchestrator.execution.active_selection import CellChooser
from orchestrator.execution.cluster.address import knock
from orchestrator.execution.program_trial import Trial, tried
from orchestrator.execution.progress.run_log import Journal
from orchestrator.execution.train import Spent, Training
from orchestrator.planning import Plan, make_plan
from orchestrator.planning.cell import Cell
from orchestrator.planning.context import KeepOrder
from orchestrator.planning.machine import usable_cores
from orchestrator.planning.recipe import recipe_name
from orchestrator.programs.program import Program
from orchestrator.spec import Sweep
from orchestrator.store import Store, open_store
from orchestrator.store.compaction import WORTHWHILE
from orchestrator.store.heartbeat import Lease, check_free, take_lease
from orchestrator.store.sweeps import SweepChange

if TYPE_CHECKING:
    from orchestrator.fitting import FitReport


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run leaves behind.

    Attributes
    ----------
    rows, failed
        Cells of the sweep with a row, and with a failure row, in the store now.
    missing
        Cells without either that were to have one; positive after an interruption.
    not_chosen
        Cells that a selection left out.
    wall_s
        Seconds of this run.
    flops_spent
        Training FLOPs of this run.
    worker_s
        Seconds that workers spent in stages, over all workers.
    interrupted
        True when a stop was asked for.
    peak_state_bytes
        Most memory that states between stages took at a time, by the sizes of their arrays.
    spilled
        States that went to checkpoints because memory was full.
    answer
        The fits, unless the run was interrupted before there was anything to fit.
    """

    sweep: str
    rows: int
    failed: int
    missing: int
    not_chosen: int
    wall_s: float
    flops_spent: int
    worker_s: float
    interrupted: bool
    peak_state_bytes: int
    spilled: int
    answer: Answer

    @property
    def report(self) -> FitReport | None:
        """The fit report."""
        return self.answer.report


def run_sweep(
    sweep: Sweep,
    *,
    store: str,
    address: str | None = None,
    share: bool = True,
    retry_failed: bool = False,
    budget_fraction: float | None = None,
    keep_weights: Sequence[str] = (),
    dashboard: bool = True,
    program: Program | None = None,
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
    budget_fraction
        Choose cells while the sweep runs, for at most this share of the plan's FLOPs; ``None``: the whole grid.
    keep_weights
        Cells whose final weights stay in the store, by id or the beginning of one, whatever the sweep's ``keep`` says;
        those that have a row already are trained again, and the row stays as it is.
    dashboard
        Whether a cluster that we start serves Ray's dashboard.
    program
        The trainer of ``family: program``: to give it is the consent to run it.
    console
        Where progress is shown; stderr by default.

    Raises
    ------
    BadInput
        If the sweep can't be planned or the store is another's; nothing was started or written.
    Unreachable
        If store or cluster can't be reached; nothing was written.
    """
    begun = time.perf_counter()
    journal = Journal(console or Console(stderr=True))
    plan = make_plan(sweep, share=share, program=program)
    for warning in plan.warnings:
        journal.say(f"warning: {warning}")
    wanted = _wanted_weights(plan, keep_weights)
    if wanted:
        keep = plan.context.keep or KeepOrder(sweep=sweep.name, most=0)
        plan = replace(plan, context=replace(plan.context, keep=replace(keep, cells=frozenset(wanted))))
    _check_room(sweep, address)
    target = open_store(store, create=True)
    check_free(target, sweep.name, say=journal.say)
    done = target.done()  # also sets damaged parts aside, so that their cells count as missing
    trial = None
    if program is not None and _missing(plan.cells, done):
        trial = tried(plan, program, target, journal.say)
        if trial.level is not program.level:
            plan = make_plan(sweep, share=share, program=program.lowered(trial.level))
    ids = [cell.id for cell in plan.cells]
    again = {cell_id for cell_id in ids if done.get(cell_id) == "failed"} if retry_failed else set()
    chooser = None
    if budget_fraction is not None:
        chooser = _chooser(plan, budget_fraction, target.rows(ids), again, journal)
    kept = {one.cell_id for one in target.weights.files()} if wanted else set()
    lacking = {cell_id for cell_id in wanted if done.get(cell_id) == "ok" and cell_id not in kept}
    missing = _missing(plan.cells, done.keys() - again - lacking)
    spent = Spent()
    with _Beginning(target, plan, again, journal, trial=trial) as beginning:
        if not missing:
            beginning.begin()
            journal.say(f"{sweep.name}: all {len(ids):,} cells are there")
        else:
            training = Training(plan, target, address, beginning.begin, dashboard, journal, chooser)
            spent = training.run(missing)
        with suppress(Unreachable):  # every row is there; what is left `gc` drops
            tidy_after_run(target)
    done = target.done()
    missing = _missing(plan.cells, done.keys())
    if chooser is not None:
        _commit_sweep(target, plan, chooser)
    fitted = _answered(target, sweep.name, journal, missing=len(missing))
    not_chosen = len(missing) if chooser is not None and chooser.reached else 0
    return RunResult(
        sweep=sweep.name,
        rows=sum(done.get(cell_id) == "ok" for cell_id in ids),
        failed=sum(done.get(cell_id) == "failed" for cell_id in ids),
        missing=len(missing) - not_chosen,
        not_chosen=not_chosen,
        wall_s=time.perf_counter() - begun,
        flops_spent=spent.flops,
        worker_s=spent.worker_s,
        interrupted=spent.interrupted,
        peak_state_bytes=spent.peak_state_bytes,
        spilled=spent.spilled,
        answer=fitted,
    )


def _wanted_weights(plan: Plan, named: Sequence[str]) -> list[str]:
    """Return the ids of the cells whose weights are asked for.

    Raises
    ------
    BadInput
        If a name is no cell's, or that of several, or nothing is trained.
    """
    found = []
    for name in named:
        meant = [cell.id for cell in plan.cells if cell.id.startswith(name.lower())]
        if len(meant) != 1 or not name:
            what = "no cell" if not meant else f"{len(meant)} cells"
            raise BadInput(f"`keep_weights` {name[:64]!r}: {plan.sweep.name} has {what} whose id begins so")
        found += meant
    if found and plan.context.why_no_weights:
        raise BadInput(f"`keep_weights`: {plan.context.why_no_weights}")
    return found


def _answered(store: Store, sweep: str, journal: Journal, *, missing: int) -> Answer:
    """Tidy the store and fit what it holds."""
    store.compact(at_least=WORTHWHILE)
    found = answer(store, sweep)
    best = found.report.best if found.report else None
    journal.note(f"{sweep}: {missing:,} cells are missing; best law: {best and best.law}")
    journal.save(store, sweep)
    return found


def _chooser(
    plan: Plan, budget_fraction: float, rows: pa.Table, again: Collection[str], journal: Journal
) -> CellChooser:
    there = [row for row in rows.to_pylist() if row["cell_id"] not in again]
    return CellChooser(plan, budget_fraction, there, journal.say)


@dataclass
class _Beginning:
    """Makes the store ready for a plan, once it is sure that the plan can be run: till then nothing is written."""

    store: Store
    plan: Plan
    again: Collection[str]
    journal: Journal
    lease: Lease | None = None
    trial: Trial | None = None

    def begin(self) -> Lease:
        """Take the sweep's lease and record the plan, the first time that this is called."""
        if self.lease is None:
            self.lease = take_lease(self.store, self.plan.sweep.name, say=self.journal.say)
            drop_older_layout(self.store)
            self.store.forget_failures(self.again)
            if self.trial is not None:
                self.trial.record(self.store)
            change = _commit_sweep(self.store, self.plan, None)
            if change.before is not None:
                self.journal.say(_what_changed(self.plan.sweep.name, change, self.store.done()))
        return self.lease

    def __enter__(self) -> _Beginning:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.lease is not None and not isinstance(error, StoreReplaced):
            with suppress(Unreachable):  # it goes stale by itself
                self.lease.give_back()


def _check_room(sweep: Sweep, address: str | None) -> None:
    """Refuse a cluster that does not answer, and a worker that this machine can't hold where there is none."""
    if address is not None:
        knock(address)
    cores, needed = usable_cores(), sweep.resources.cpus_per_worker
    if address is None and needed > cores:
        raise BadInput(
            f"{sweep.at('resources', 'cpus_per_worker')}: is {needed:,}, but this machine has {cores} cores; "
            "lower it, or join a larger cluster with `address`"
        )


def _missing(cells: list[Cell], done: Collection[str]) -> list[Cell]:
    return [cell for cell in cells if cell.id not in done]


def _what_changed(sweep: str, change: SweepChange, done: Collection[str]) -> str:
    """Return what an edited sweep adds to the one that was run under its name before, and what no longer counts."""
    before = f"{sweep}@{change.before}"
    sentence = f"{sweep} is not what it was in this store: version {change.version} adds {_cells(change.added)}, keeps "
    sentence += f"{_cells(change.kept)} and no longer counts {_cells(change.dropped)}"
    there = sum(cell_id in done for cell_id in change.dropped)
    return f"{sentence}, {there:,} of them with a row: ask for those as {before}" if there else sentence


def _cells(cell_ids: Collection[str]) -> str:
    return "1 cell" if len(cell_ids) == 1 else f"{len(cell_ids):,} cells"


def _commit_sweep(store: Store, plan: Plan, chooser: CellChooser | None) -> SweepChange:
    """Record the resolved sweep and its cells before the first stage (I4), and what was chosen of them after."""
    return store.save_sweep(
        plan.sweep.name,
        {
            **({} if chooser is None else {"selection": chooser.to_json()}),
            "sweep": plan.sweep.canonical(),
            "recipes": {recipe_name(cell.recipe): cell.recipe.to_json() for cell in plan.cells},
            "task": plan.context.manifest.task,
            "tasks": [data.manifest.task for data in plan.context.data.values()],
            "data_digest": plan.context.manifest.digest,
            "cells": [cell.id for cell in plan.cells],
            **({"plugins": own} if (own := {code.name: code.digest for code in plan.context.plugins}) else {}),
        },
    )
