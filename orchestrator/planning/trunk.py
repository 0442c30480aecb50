"""The training that cells of one model, seed and recipe have in common: one trunk, and what leaves it.

Every cell with D examples follows the same data stream as the largest D until its own first pass ends, and the same
learning rate until its cooldown begins. So there is one main trunk, a branch of it for the later epochs of each smaller
D, and a fork for each cell's cooldown. Under ``wsm`` the trunk is all that is trained: it carries a running mean for
each cell whose window is open, and a cell is the merge of its own. Fine-tuning grows the same way, from the state of a
pretrained cell instead of initialisation.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.planning.family import ModelShape
from orchestrator.planning.finetuning import Tuning
from orchestrator.planning.recipe import Recipe
from orchestrator.planning.tree import Kind, Stage, StageTree


class Goal(NamedTuple):
    """Where a cell's training ends: its unique examples, and its steps."""

    examples: int
    total_steps: int


@dataclass(kw_only=True)
class Trunk:
    """All training stages of one shape, seed and recipe.

    Parameters
    ----------
    tree
        Where they are added.
    digest
        Of what their results depend on beside what is said here.
    train_examples
        Size of the fixed permutation that all data streams are prefixes of.
    step_flops
        Training FLOPs of an optimiser step.
    root
        Stage from whose state the trunk grows; ``None``: from initialisation.
    tuning
        Where that is fine-tuning: how.
    """

    tree: StageTree
    recipe: Recipe
    shape: ModelShape
    seed: int
    digest: str
    train_examples: int
    step_flops: int
    root: str | None = None
    tuning: Tuning | None = None

    def grow(self, goals: Collection[Goal]) -> dict[Goal, str]:
        """Add the stages that reach some goals; return the stage at whose end each is reached."""
        batch = self.recipe.batch_size
        main = max(goal.examples for goal in goals)
        forks = {goal: self.recipe.fork_step(goal.total_steps) for goal in goals}
        stops: dict[int, set[int]] = defaultdict(set)
        leaves: dict[int, int] = {main: 0}
        for goal, fork in forks.items():
            examples = goal.examples
            leaves.setdefault(examples, examples // batch)
            on_main = examples == main or fork <= leaves[examples]
            stops[main].add(fork if on_main else leaves[examples])
            if not on_main:
                stops[examples].add(fork)
        ends: dict[tuple[int, int], str | None] = {(main, 0): self.root}
        for examples in sorted(stops, reverse=True):
            step = leaves[examples]
            parent = ends[(main, step)] if examples != main else self.root
            for stop in sorted(stops[examples] - {step}):
                own = None if self.recipe.shares_trunk else stop
                windows = self._open_windows(goals, leaves, examples, stop)
                parent = self._add("trunk", parent, examples, step, stop, own, windows=windows)
                ends[(examples, stop)] = parent
                step = stop
        reached = {}
        for goal, fork in forks.items():
            path = goal.examples if (goal.examples, fork) in ends else main
            reached[goal] = self._finish(goal, ends[(path, fork)], fork)
        return reached

    def _finish(self, goal: Goal, parent: str | None, fork: int) -> str:
        """Add a cell's own schedule."""
        total = goal.total_steps
        if self.recipe.merges:
            return self._add("merge", parent, goal.examples, total, total, total)
        if fork < total:
            return self._add("cooldown", parent, goal.examples, fork, total, total)
        assert parent is not None, "a cell has at least one step"
        return parent

    def _open_windows(
        self, goals: Collection[Goal], leaves: dict[int, int], examples: int, stop: int
    ) -> tuple[int, ...]:
        """Return the lengths of the cells that go through this end of a trunk with their window begun."""
        if not self.recipe.merges:
            return ()
        main = max(leaves)
        found = set()
        for goal in goals:
            if examples == goal.examples:
                reach = goal.total_steps
            else:
                reach = min(goal.total_steps, leaves[goal.examples]) if examples == main else 0
            if reach >= stop >= self.recipe.snapshot_steps(goal.total_steps)[0]:
                found.add(goal.total_steps)
        return tuple(sorted(found))

    def _add(
        self,
        kind: Kind,
        parent: str | None,
        examples: int,
        start: int,
        stop: int,
        total: int | None,
        *,
        windows: tuple[int, ...] = (),
    ) -> str:
        first_pass = stop * self.recipe.batch_size <= examples
        stream = self.train_examples if first_pass else examples
        name = f"{self.digest}|{parent}|{kind}|{stream}|{start}|{stop}|{total}|{windows}"
        added = self.tree.add(
            Stage(
                id=hashlib.sha256(name.encode()).hexdigest(),
                kind="finetune" if self.tuning and kind != "merge" else kind,
                parent=parent,
                shape=self.shape,
                seed=self.seed,
                recipe=self.recipe,
                start_step=start,
                stop_step=stop,
                total_steps=total,
                stream_examples=stream,
                data="finetune" if self.tuning else "pretrain",
                phase=f"finetune {self.digest}" if self.tuning else "pretrain",
                tuning=self.tuning,
                windows=windows,
                flops=(stop - start) * self.step_flops,
            )
        )
        return added.id
