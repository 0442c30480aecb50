"""The training recipe of a sweep with every ``auto`` resolved, and the step arithmetic that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from orchestrator.errors import BadInput
from orchestrator.planning.content_id import content_id
from orchestrator.planning.schedules.schedule import Schedule, schedule_named
from orchestrator.spec.sections.train import Train

#: Raised whenever training code changes a result; part of every cell id (I1).
RECIPE_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a model is trained; equal recipes, shapes, data and seeds give equal results.

    Parameters
    ----------
    optimizer
        Registry name.
    learning_rate
        Peak rate of the base width; a family may scale it per parameter group (muP).
    weight_decay, momentum, beta1, beta2, gradient_clip
        Optimiser settings; ``gradient_clip`` is the largest global norm, ``None`` for no clipping.
    batch_size
        Examples in one optimiser step, over all ranks.
    warmup_steps
        Linear warmup in absolute steps, so that cells of different length share their beginning (I3).
    schedule
        Registry name.
    cooldown_fraction, milestones, decay_factor
        What the schedule may read (:class:`~orchestrator.planning.schedules.schedule.ScheduleKeys`).
    shift_pixels
        Augmentation of images: random shifts of at most this many pixels.
    precision
        ``fp32``, or ``bf16`` autocast of the forward pass; weights and optimiser stay in fp32.
    compile
        Whether the forward and backward pass are compiled, which rounds differently; ``graphs``: and on a GPU launched
        as CUDA graphs.
    deterministic
        Whether kernels that give the same bits each time are taken; on the CPU all are such.
    fuse
        Whether seeds of one size may train as one batched model, which rounds differently.
    world_size
        Ranks that share each batch; the order in which their gradients are added is part of the result.
    """

    optimizer: str
    learning_rate: float
    weight_decay: float
    momentum: float
    beta1: float
    beta2: float
    gradient_clip: float | None
    batch_size: int
    warmup_steps: int
    schedule: str
    cooldown_fraction: float
    milestones: tuple[float, ...]
    decay_factor: float
    shift_pixels: int
    precision: str = "fp32"
    compile: bool | str = False
    deterministic: bool = False
    fuse: bool = False
    world_size: int = 1

    @classmethod
    def resolve(
        cls, train: Train, defaults: Mapping[str, Mapping[str, Any]], *, world_size: int = 1, on_gpu: bool = False
    ) -> Recipe:
        """Return the recipe of a sweep's ``train`` section, ``auto`` replaced by the family's stated defaults.

        Parameters
        ----------
        train
            The parsed section.
        defaults
            The family's values by optimizer.
        world_size
            Ranks that train one cell.
        on_gpu
            Whether workers have GPUs, on which ``precision: auto`` means bf16.

        Raises
        ------
        BadInput
            If something is left at ``auto`` for which the family has no rule, or the ranks can't share a batch evenly.
        """
        if train.batch_size % world_size:
            raise BadInput(
                f"resources.world_size {world_size} doesn't divide train.batch_size {train.batch_size}: each rank "
                "takes an equal share of a batch; change one of the two"
            )
        known = {"precision": "bf16" if on_gpu else "fp32", **defaults.get(train.optimizer, {})}
        values: dict[str, Any] = {"world_size": world_size}
        for field in fields(cls):
            if field.name in values:
                continue
            value = getattr(train, field.name)
            if value == "auto":
                if field.name not in known:
                    raise BadInput(
                        f"train.{field.name}: auto has no rule for optimizer {train.optimizer} in this model family; "
                        "write a number"
                    )
                value = known[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary; what came later and is left as it was before is not in it, so ids stay."""
        return {name: value for name, value in asdict(self).items() if value or name != "deterministic"}

    def total_steps(self, data_examples: int, epochs: int) -> int:
        """Return the optimiser steps of ``epochs`` passes over ``data_examples``; a last partial batch is left out."""
        return data_examples * epochs // self.batch_size

    def rate_factor(self, step: int, total_steps: int | None) -> float:
        """Return the share of the peak learning rate at a step.

        Parameters
        ----------
        step
            Optimiser step, counted from 0.
        total_steps
            Steps of the cell that is being finished; ``None`` on a trunk that several cells share, where the rate is
            at its peak once it is warm.
        """
        warmup = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return warmup if total_steps is None else warmup * self._schedule.rate(self, step, total_steps)

    def fork_step(self, total_steps: int) -> int:
        """Return the step at which a cell of ``total_steps`` leaves the trunk: where its own schedule begins."""
        return self._schedule.fork_step(self, total_steps)

    def snapshot_steps(self, total_steps: int) -> tuple[int, ...]:
        """Return the steps after which a snapshot is taken for a cell of ``total_steps``, the last one included."""
        return self._schedule.snapshot_steps(self, total_steps)

    @property
    def shares_trunk(self) -> bool:
        """True when cells of different length have their steps before the fork in common."""
        return self._schedule.shares

    @property
    def merges(self) -> bool:
        """True when a cell's weights are the mean of snapshots."""
        return self._schedule.ending == "merge"

    @property
    def _schedule(self) -> Schedule:
        return schedule_named(self.schedule)


def recipe_name(recipe: Recipe) -> str:
    """Return a name by which rows of one recipe are told from those of another: ``adamw-wsd-1a2b3c4d``."""
    return f"{recipe.optimizer}-{recipe.schedule}-{content_id(recipe.to_json())[:8]}"
