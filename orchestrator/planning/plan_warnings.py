"""What will run as written, but hardly as meant: sentences for a person to read before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.planning.cell import Cell
from orchestrator.planning.machine import usable_cores
from orchestrator.planning.memory import in_words
from orchestrator.planning.schedules.schedule import SCHEDULE_KEYS, schedule_named
from orchestrator.spec.sweep import Sweep

#: Keys of ``train`` without effect under an optimizer.
IDLE = {"adamw": ("momentum",), "sgd": ("beta1", "beta2")}


def cautions(sweep: Sweep, cells: Sequence[Cell], memory_bytes: int | None = None) -> list[str]:
    """Return sentences on settings without effect, on training too short to warm up, and on more ranks than cores.

    Parameters
    ----------
    sweep
        The parsed sweep.
    cells
        All that it comes to.
    memory_bytes
        What the largest of them takes of a worker in training.
    """
    return [
        *dict.fromkeys(_idle(sweep)),
        *_cold(sweep, cells),
        *_long(sweep, cells),
        *_crowded(sweep),
        *_cramped(sweep, memory_bytes),
    ]


def _idle(sweep: Sweep) -> Iterator[str]:
    for train in sweep.recipes():
        used = schedule_named(train.schedule).uses
        idle = {
            f"optimizer {train.optimizer}": IDLE.get(train.optimizer, ()),
            f"schedule {train.schedule}": [key for key in SCHEDULE_KEYS if key not in used],
        }
        for under, names in idle.items():
            for name in names:
                if getattr(train, name) != type(train).model_fields[name].default:
                    yield f"{sweep.at('train')}: {name} has no effect under {under}: leave it out"


def _cold(sweep: Sweep, cells: Sequence[Cell]) -> Iterator[str]:
    """Cells that end before their learning rate has reached its peak."""
    pretrained = [(cell.recipe.warmup_steps, cell.total_steps) for cell in cells if cell.parent is None]
    tuned = [
        (cell.tuning.recipe.warmup_steps, cell.tuning.total_steps)
        for cell in cells
        if cell.tuning is not None and cell.compressed is None
    ]
    for path, found in ((("train",), pretrained), (("grid", "finetune"), tuned)):
        short = [(warmup, steps) for warmup, steps in found if 0 < steps <= warmup]
        if short:
            warmup, steps = min(short, key=lambda one: one[1] - one[0])
            yield (
                f"{sweep.at(*path, 'warmup_steps')}: {len(short):,} of {len(found):,} cells end in the warmup of "
                f"{warmup:,} steps (the shortest after {steps:,}), before the learning rate is at its peak; lower it"
            )


def _long(sweep: Sweep, cells: Sequence[Cell]) -> Iterator[str]:
    """Recoveries that take more training than the model that they recover."""
    longest: dict[str, float] = {}
    for cell in cells:
        if cell.compressed is None:
            continue
        own = cell.total_steps + (cell.tuning.total_steps if cell.tuning is not None else 0)
        for step in cell.compressed.steps:
            if step.shape == step.before and step.training_steps > own:
                ratio = step.training_steps / own
                longest[cell.compressed.label] = max(ratio, longest.get(cell.compressed.label, 0.0))
    for label, ratio in longest.items():
        yield (
            f"{sweep.at('grid', 'compression')}: recovery of {label!r} takes up to {ratio:,.3g} times the training of "
            "the model itself; lower recover"
        )


def _crowded(sweep: Sweep) -> Iterator[str]:
    resources, cores = sweep.resources, usable_cores()
    needed = resources.world_size * resources.cpus_per_worker
    if resources.world_size > 1 and needed > cores:
        yield (
            f"{sweep.at('resources', 'world_size')}: the {resources.world_size:,} ranks of a cell take {needed:,} "
            f"cores; this machine has {cores}, on which they take turns and the time is longer than estimated"
        )


def _cramped(sweep: Sweep, needed: int | None) -> Iterator[str]:
    reserved = sweep.resources.memory_bytes_per_worker
    if reserved is None or needed is None or sweep.resources.gpus_per_worker > 0:
        return
    if needed > reserved:
        yield (
            f"{sweep.at('resources', 'memory_bytes_per_worker')}: training the largest model takes about "
            f"{in_words(needed)} of a worker and {in_words(reserved)} are reserved; reserve more, or lower "
            "train.batch_size"
        )
