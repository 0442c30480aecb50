"""Stages and the tree they form: what two cells have in common stands in it once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from orchestrator.planning.cell import Cell
from orchestrator.planning.compressed import CompressStep
from orchestrator.planning.family import ModelShape
from orchestrator.planning.finetuning import Tuning
from orchestrator.planning.recipe import Recipe

Kind = Literal["trunk", "cooldown", "merge", "finetune", "compress", "evaluate"]
#: Which workers run a stage: those that train, or those that evaluate and compress beside them.
Role = Literal["train", "score"]


@dataclass(slots=True, kw_only=True)
class Stage:
    """A piece of work that one worker does without stopping, from its parent's state to its own.

    Never changed once made; not frozen, because a plan makes tens of thousands and freezing triples their cost.

    Parameters
    ----------
    id
        Content hash over the parent's id and all that changes this stage's result.
    kind
        What is done.
    parent
        Id of the stage whose state this one starts from; ``None`` starts from initialisation.
    shape, seed, recipe
        Of the model that is trained, and how.
    start_step, stop_step
        Optimiser steps ``[start_step, stop_step)``; equal where nothing is trained.
    total_steps
        Steps of the one cell that this stage finishes; ``None`` on a shared trunk.
    stream_examples
        The data stream: passes over the first ``stream_examples`` of the fixed permutation.
    data
        Which data is read: ``pretrain`` or ``finetune``.
    phase
        What steps are counted from: pretraining, a fine-tuning, a compression. The first stage of a phase takes its
        parent's weights and a fresh optimiser.
    tuning, compress
        What a ``finetune`` or a ``compress`` stage does.
    cell
        The cell that an ``evaluate`` stage measures.
    windows
        Where a schedule merges: lengths of the cells below whose running means are open at the end of this stage.
    flops, flops_evaluation
        FLOPs of training and of scoring in this stage.
    """

    id: str
    kind: Kind
    parent: str | None
    shape: ModelShape
    seed: int
    recipe: Recipe
    start_step: int
    stop_step: int
    total_steps: int | None
    stream_examples: int
    data: str = "pretrain"
    phase: str = "pretrain"
    tuning: Tuning | None = None
    compress: CompressStep | None = None
    cell: Cell | None = None
    windows: tuple[int, ...] = ()
    flops: int = 0
    flops_evaluation: int = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of this stage."""
        return self.stop_step - self.start_step


@dataclass(frozen=True)
class StageTree:
    """Stages by id, parents before children.

    Parameters
    ----------
    scored_apart
        Whether there are workers that evaluate and compress only.
    """

    stages: dict[str, Stage] = field(default_factory=dict)
    scored_apart: bool = False

    def __len__(self) -> int:
        return len(self.stages)

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages.values())

    def add(self, stage: Stage) -> Stage:
        """Add a stage whose parent is in the tree; an equal id is the same stage and is kept once.

        Raises
        ------
        KeyError
            If the parent is not in the tree.
        """
        if stage.parent is not None and stage.parent not in self.stages:
            raise KeyError(f"stage {stage.id} names the parent {stage.parent}, which is not in the tree")
        return self.stages.setdefault(stage.id, stage)

    @property
    def flops(self) -> int:
        """Training FLOPs of all stages."""
        return sum(stage.flops for stage in self)

    @cached_property
    def children(self) -> dict[str | None, list[Stage]]:
        """Stages by parent id; the roots stand under ``None``."""
        found: dict[str | None, list[Stage]] = {None: []}
        for stage in self:
            found.setdefault(stage.parent, []).append(stage)
        return found

    def below(self, stage_id: str) -> list[Stage]:
        """Return a stage and all that descends from it, parents first."""
        found = [self.stages[stage_id]]
        for stage in found:
            found.extend(self.children.get(stage.id, ()))
        return found

    def role(self, stage: Stage) -> Role:
        """Return who runs a stage; a gang of several compresses by itself, since recovery trains as it does."""
        light = stage.kind == "evaluate" or (stage.kind == "compress" and stage.recipe.world_size == 1)
        return "score" if self.scored_apart and light else "train"

    def chain(self, stage: Stage) -> list[Stage]:
        """Return a stage and those that follow it without a fork: what one worker does in one go.

        The states between them have no other use, so they need not leave the worker. A gang hands its state over where
        a phase ends, as only rank 0 has the buffers and merged weights that the next one starts from.
        """
        found = [stage]
        while len(below := self.children.get(found[-1].id, [])) == 1 and self.follows(below[0], stage):
            found.extend(below)
        return found

    def follows(self, stage: Stage, first: Stage) -> bool:
        """Return whether a stage may be done in one go with the first of the chain that it continues."""
        if first.recipe.world_size > 1 and stage.phase != first.phase:
            return False
        return self.role(stage) == self.role(first)

    def towards(self, cell_ids: Collection[str]) -> StageTree:
        """Return the stages that lead to some of the cells, with the ids that they have here."""
        wanted: set[str] = set()
        for stage in reversed(self.stages.values()):
            if stage.id in wanted or (stage.cell is not None and stage.cell.id in cell_ids):
                wanted |= {stage.id, stage.parent or stage.id}
        return replace(self, stages={key: stage for key, stage in self.stages.items() if key in wanted})

    def cells(self, stages: Iterable[Stage] | None = None) -> list[Cell]:
        """Return the cells that the given stages (default: all) measure."""
        return [s.cell for s in (self if stages is None else stages) if s.cell is not None]

    def remaining_s(self, seconds: dict[str, float]) -> dict[str, float]:
        """Return, for each stage, the seconds of the longest path from its start to a leaf.

        Parameters
        ----------
        seconds
            Estimated duration of each stage by id.
        """
        longest: dict[str, float] = {}
        for stage in reversed(self.stages.values()):
            below = max((longest[c.id] for c in self.children.get(stage.id, ())), default=0.0)
            longest[stage.id] = seconds[stage.id] + below
        return longest


def seedless(stage: Stage) -> tuple[Any, ...]:
    """Return what a stage has in common with those of other seeds."""
    return (
        stage.kind,
        stage.shape,
        stage.recipe,
        stage.start_step,
        stage.stop_step,
        stage.stream_examples,
        stage.windows,
        stage.tuning,
        stage.compress,
    )


def first_flops(chain: Sequence[Stage], steps: int) -> int:
    """Return the training FLOPs of the first optimiser steps of a chain."""
    flops = 0
    for stage in chain:
        taken = min(steps, stage.steps)
        flops += taken * stage.flops // max(1, stage.steps)
        steps -= taken
    return flops
