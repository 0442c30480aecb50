"""Sweep → plan: cells, stage tree, FLOPs, hours and price, before anything is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from orchestrator.errors import BadInput, refused_at
from orchestrator.planning.cell import Cell
from orchestrator.planning.cells import expand
from orchestrator.planning.children import with_children
from orchestrator.planning.context import KeepOrder, RunContext, TaskData
from orchestrator.planning.cost import (
    CPU_CORE,
    GPU,
    MEASURE_S,
    Rate,
    estimate_s,
    lower_bound_s,
    schedule_s,
    simulated_rate,
)
from orchestrator.planning.machine import usable_cores
from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.memory import most_bytes
from orchestrator.planning.own_trainer import described, family_of, manifest_of
from orchestrator.planning.plan_warnings import cautions
from orchestrator.planning.plugins import check_plugins, plugins_of
from orchestrator.planning.recipe import Recipe
from orchestrator.planning.schedules.schedule import schedule_named
from orchestrator.planning.sharing import build_tree
from orchestrator.planning.tasks import tasks_of
from orchestrator.planning.tree import StageTree
from orchestrator.programs.description import Description
from orchestrator.programs.manifest import Sharing
from orchestrator.programs.program import Program
from orchestrator.spec.registries import SCHEDULES, SOURCES
from orchestrator.spec.sections.keep import most_kept
from orchestrator.spec.sections.resources import Resources
from orchestrator.spec.sweep import Sweep

#: Cells up to which a plan also works out what other schedules would cost.
COMPARED_CELLS = 2_000


@dataclass(frozen=True)
class Plan:
    """What a sweep will do.

    Attributes
    ----------
    sweep
        The parsed sweep.
    context
        What its stages share.
    cells
        Distinct cells in grid order.
    tree
        Stages that measure them.
    gangs
        Cells that the estimate assumes to train at once, each on ``world_size`` workers.
    memory_bytes
        Most bytes that a worker holds while it trains, beside its data, torch and Ray; ``None`` where nobody knows.
    warnings
        Sentences about sizes and fractions that were not taken as written.
    """

    sweep: Sweep
    context: RunContext
    cells: list[Cell]
    tree: StageTree
    gangs: int
    rate: Rate
    memory_bytes: int | None
    warnings: list[str]
    share: bool

    @cached_property
    def flops_naive(self) -> int:
        """Training FLOPs with every cell trained alone."""
        return sum(cell.flops for cell in self.cells)

    @cached_property
    def flops_planned(self) -> int:
        """Training FLOPs of the stage tree."""
        return sum(stage.flops for stage in self.tree)

    @cached_property
    def stages_s(self) -> dict[str, float]:
        """Estimated seconds of each stage by id."""
        return {s.id: estimate_s(s, self.rate) for s in self.tree}

    @cached_property
    def est_s(self) -> float:
        """Estimated wall time on so many gangs."""
        return schedule_s(self.tree, self.stages_s, self.remaining_s, self.gangs)

    @property
    def workers(self) -> int:
        """Ray actors that the estimate assumes."""
        return self.gangs * self.sweep.resources.world_size

    @cached_property
    def remaining_s(self) -> dict[str, float]:
        """Estimated seconds from the start of each stage to the end of its longest path, by id."""
        return self.tree.remaining_s(self.stages_s)

    @cached_property
    def critical_path_s(self) -> float:
        """Estimated seconds of the longest path, which no number of workers shortens."""
        return max(self.remaining_s.values())

    @property
    def why_alone(self) -> str | None:
        """Why cells share no training, or ``None`` where they do."""
        program = self.context.program
        if program is not None and program.level is not Sharing.EXACT:
            return f"{program.manifest.name} shares no training (sharing: {program.level.value})"
        if not self.share:
            return "sharing is switched off"
        reasons = [
            f"under schedule {schedule} the rate depends on a cell's length from its first steps"
            for schedule in sorted({cell.recipe.schedule for cell in self.cells if not cell.recipe.shares_trunk})
        ]
        recipes = len({cell.common for cell in self.cells})
        if recipes > 1:
            reasons.append(f"cells of the {recipes} recipes share nothing with each other")
        return "; ".join(reasons) or None

    def flops_by_schedule(self) -> dict[str, int]:
        """Return the training FLOPs that this grid costs under each schedule that shares, with a decay or a merge.

        Compared are ours and those of the sweep, not all that happen to be installed.
        """
        program = self.context.program
        unmerged = program is not None and program.manifest.weights is None
        names = dict.fromkeys([*SCHEDULES.builtin, *(cell.recipe.schedule for cell in self.cells)])
        schedules = {name: schedule_named(name) for name in names}
        return {
            name: sum(
                stage.flops
                for stage in _tree(
                    [_rescheduled(cell, name) for cell in self.cells],
                    self.context,
                    share=self.share,
                )
            )
            for name, schedule in schedules.items()
            if schedule.shares and schedule.ending not in (("nothing", "merge") if unmerged else ("nothing",))
        }

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``scalaw plan``."""
        resources = self.sweep.resources
        gpu_hours = self.est_s / 3600 * self.workers * resources.gpus_per_worker
        manifest = self.context.manifest
        kinds: Counter[str] = Counter()
        flops: Counter[str] = Counter()
        for stage in self.tree:
            kinds[stage.kind] += 1
            flops[stage.kind] += stage.flops
        work_s = sum(self.stages_s.values())
        return {
            "sweep": self.sweep.name,
            "task": manifest.task,
            "cells": len(self.cells),
            "cells_by_kind": dict(Counter(cell.kind for cell in self.cells)),
            "stages": len(self.tree),
            "stages_by_kind": dict(kinds),
            "params": sorted({c.shape.params_non_embedding for c in self.cells}),
            "data_examples": sorted({c.data_examples for c in self.cells}),
            "tokens_per_example": manifest.tokens_per_example,
            "steps_naive": sum(c.steps for c in self.cells),
            "steps_planned": sum(s.steps for s in self.tree),
            "flops_naive": self.flops_naive,
            "flops_planned": self.flops_planned,
            "flops_evaluation": sum(s.flops_evaluation for s in self.tree),
            "sharing_ratio": self.flops_naive / self.flops_planned,
            "flops_by_kind": dict(flops),
            "flops_by_schedule": self.flops_by_schedule() if len(self.cells) <= COMPARED_CELLS else None,
            "why_alone": self.why_alone,
            "critical_path_hours": self.critical_path_s / 3600,
            "lower_bound_hours": {
                str(w): lower_bound_s(work_s, self.critical_path_s, w) / 3600 for w in (1, 2, 4, 8, 16, 32, 64)
            },
            "workers": self.workers,
            "est_hours": self.est_s / 3600,
            "est_memory_bytes": self.memory_bytes,
            "est_price": gpu_hours * resources.price_per_gpu_hour,
            "warnings": self.warnings,
        }


def _rescheduled(cell: Cell, schedule: str) -> Cell:
    """Return a cell as it would be trained under another schedule."""
    return replace(
        cell,
        recipe=replace(cell.recipe, schedule=schedule),
        parent=_rescheduled(cell.parent, schedule) if cell.parent else None,
        tuning=replace(cell.tuning, recipe=replace(cell.tuning.recipe, schedule=schedule)) if cell.tuning else None,
    )


def _tree(cells: list[Cell], context: RunContext, *, share: bool) -> StageTree:
    examples = {name: data.manifest.train_examples for name, data in context.data.items()}
    scored = {name: data.scored_examples(context.eval_examples) for name, data in context.data.items()}
    return build_tree(
        cells,
        train_examples=lambda data: examples.get(data, 0),
        eval_examples=lambda data: scored.get(data, 0),
        share=share,
        prefix=context.program is None or context.program.manifest.data_prefix,
    )


def make_plan(sweep: Sweep, *, share: bool = True, program: Program | None = None, remembered: bool = False) -> Plan:
    """Return the plan of a parsed sweep.

    Parameters
    ----------
    sweep
        From :func:`orchestrator.load_sweep`.
    share
        False plans every cell alone.
    program
        The trainer of ``family: program``, from :func:`orchestrator.programs.program.read_program`: to give it is the
        consent to run it.
    remembered
        Whether what a program said of its data and sizes before will do.

    Raises
    ------
    BadInput
        If the data is not there, a cell can't be built, or a plug-in can't be imported.
    """
    check_plugins(sweep)
    resources = sweep.resources
    if resources.world_size > 1 and resources.gpus_per_worker % 1:
        raise BadInput(
            f"{sweep.at('resources', 'gpus_per_worker')}: {resources.gpus_per_worker:g} with world_size "
            f"{resources.world_size}: ranks of one cell need a whole GPU each (NCCL); use 1, or world_size 1"
        )
    said = described(sweep, program, remembered=remembered)
    family = family_of(sweep, said)
    share = share and (program is None or program.level is Sharing.EXACT)
    data = _data(sweep, said)
    on_gpu = resources.gpus_per_worker > 0
    with refused_at(sweep.at("train")):
        recipes = [
            Recipe.resolve(train, family.defaults, world_size=resources.world_size, on_gpu=on_gpu)
            for train in sweep.recipes()
        ]
    tasks = tasks_of(sweep, {name: one.manifest for name, one in data.items()}, program)
    if tasks and getattr(family, "own_loss", False):
        raise BadInput(
            f"{sweep.at('evaluate')}: {family.name} has a loss of its own, and tasks ask a module of ours for logits"
        )
    expansion = expand(sweep, family, data["pretrain"].manifest, recipes, program, tasks)
    cells = with_children(sweep, family, data, expansion.cells, expansion.warnings)
    context = RunContext(
        family=sweep.model.family,
        model_options=sweep.model.options,
        data=data,
        eval_examples=sweep.data.eval_examples,
        simulated=family.simulated,
        inference=sweep.inference,
        plugins=plugins_of(sweep),
        tasks=tasks,
        program=program,
        eval_every=sweep.train.eval_every,
        keep=None if sweep.keep == "none" else KeepOrder(sweep=sweep.name, most=most_kept(sweep.keep)),
    )
    if context.keep is not None and context.why_no_weights:
        raise BadInput(f"{sweep.at('keep')}: {context.why_no_weights}; leave it out")
    tree = _tree(cells, context, share=share)
    memory = most_bytes(tree, family, context)
    return Plan(
        sweep=sweep,
        context=context,
        cells=cells,
        tree=tree,
        gangs=planned_gangs(resources, cores=usable_cores()),
        rate=_rate(sweep, simulated=family.simulated),
        memory_bytes=memory,
        warnings=[*expansion.warnings, *_notes(data), *cautions(sweep, cells, memory)],
        share=share,
    )


def _data(sweep: Sweep, said: Description | None) -> dict[str, TaskData]:
    """Return the data sets of a sweep with their manifests."""
    if said is not None:
        manifest: DataManifest = manifest_of(said.data)
        if sweep.data.name is not None:
            manifest = replace(manifest, task=sweep.data.name)
        return {"pretrain": TaskData(source=sweep.data.source, options=sweep.data.options, manifest=manifest)}
    chosen: dict[str, tuple[Any, tuple[str, ...]]] = {"pretrain": (sweep.data, ("data",))}
    if sweep.grid.finetune is not None:
        chosen["finetune"] = sweep.grid.finetune.data, ("grid", "finetune", "data")
    window = sweep.model.options.get("context", 64)
    found = {}
    for name, (choice, path) in chosen.items():
        with sweep.blamed(*path):
            manifest = SOURCES.load(choice.source)().manifest(choice.options, context=window)
        if choice.name is not None:
            manifest = replace(manifest, task=choice.name)
        found[name] = TaskData(source=choice.source, options=choice.options, manifest=manifest)
    named = {data.manifest.task: data.manifest.digest for data in found.values()}
    if sweep.data.name is not None and any(
        named[data.manifest.task] != data.manifest.digest for data in found.values()
    ):
        raise BadInput(
            f"{sweep.at('grid', 'finetune', 'data', 'name')}: other data is called {sweep.data.name!r} too: name it "
            "otherwise"
        )
    return found


def _notes(data: Mapping[str, TaskData]) -> list[str]:
    """Return what the data sets have to say of themselves, each sentence once."""
    return list(dict.fromkeys(note for one in data.values() for note in one.manifest.notes))


def planned_gangs(resources: Resources, cores: int) -> int:
    """Return how many cells train at once: gangs of ``world_size`` workers, as asked or as many as the cores hold."""
    if resources.workers != "auto":
        return max(1, resources.workers // resources.world_size)
    return max(1, cores // (resources.cpus_per_worker * resources.world_size))


def _rate(sweep: Sweep, *, simulated: bool) -> Rate:
    if simulated:
        return simulated_rate(sweep.model.options["stage_s"])
    one = GPU if sweep.resources.gpus_per_worker else CPU_CORE
    timed = sweep.inference.measure and sweep.model.family != "program"
    measure_s = MEASURE_S[sweep.inference.backend] if timed else 0.0
    return replace(one, flops_per_s=one.flops_per_s * sweep.resources.world_size, measure_s=measure_s)
