"""Cells → stage tree: one trunk for all that cells have in common, a cooldown or merge and a measurement for each.

For one shape and seed every cell with D examples follows the same data stream as the largest D until its own first
pass ends, and the same learning rate until its cooldown begins. So there is one main trunk, a branch of it for the
later epochs of each smaller D, and a fork for each cell's cooldown. Under ``wsm`` the trunk is all that is trained: it
carries a running mean for each cell whose window is open, and a cell is the merge of its own.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.planning.cell import Cell
from orchestrator.planning.content import content_id
from orchestrator.planning.family import ModelShape
from orchestrator.planning.recipe import Recipe
from orchestrator.planning.tree import Kind, Stage, StageTree


def build_tree(cells: Iterable[Cell], *, train_examples: int, eval_examples: int, share: bool = True) -> StageTree:
    """Return the stage tree that measures every given cell.

    Parameters
    ----------
    cells
        Distinct cells; any subset of a sweep's cells gives each of them the same result (I3).
    train_examples
        Size of the fixed permutation that all data streams are prefixes of.
    eval_examples
        Examples scored to measure one cell, over all splits.
    share
        False trains every cell alone, through the same stages.
    """
    tree = StageTree()
    groups: dict[tuple[ModelShape, int, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        alone = "" if share and cell.recipe.shares_trunk else cell.id
        groups[(cell.shape, cell.seed, cell.common, alone)].append(cell)
    for (shape, seed, common, alone), members in groups.items():
        digest = content_id([common, shape.family, dict(shape.dims), seed, alone])
        _Trunk(tree, members[0].recipe, shape, seed, digest, train_examples, eval_examples).grow(members)
    return tree


@dataclass
class _Trunk:
    """All stages of one shape, seed and recipe."""

    tree: StageTree
    recipe: Recipe
    shape: ModelShape
    seed: int
    digest: str
    train_examples: int
    eval_examples: int

    def grow(self, cells: Sequence[Cell]) -> None:
        """Add the stages of these cells."""
        batch = self.recipe.batch_size
        main = max(c.data_examples for c in cells)
        forks = {c.id: self.recipe.fork_step(c.total_steps) for c in cells}
        stops: dict[int, set[int]] = defaultdict(set)
        leaves: dict[int, int] = {main: 0}
        for cell in cells:
            examples, fork = cell.data_examples, forks[cell.id]
            leaves.setdefault(examples, examples // batch)
            on_main = examples == main or fork <= leaves[examples]
            stops[main].add(fork if on_main else leaves[examples])
            if not on_main:
                stops[examples].add(fork)
        ends: dict[tuple[int, int], str | None] = {(main, 0): None}
        for examples in sorted(stops, reverse=True):
            step = leaves[examples]
            parent = ends[(main, step)] if examples != main else None
            for stop in sorted(stops[examples] - {step}):
                own = None if self.recipe.shares_trunk else stop
                windows = self._open_windows(cells, leaves, examples, stop)
                parent = self._add("trunk", parent, examples, step, stop, own, windows=windows).id
                ends[(examples, stop)] = parent
                step = stop
        for cell in cells:
            fork = forks[cell.id]
            path = cell.data_examples if (cell.data_examples, fork) in ends else main
            self._finish(cell, ends[(path, fork)], fork)

    def _finish(self, cell: Cell, parent: str | None, fork: int) -> None:
        """Add a cell's own schedule and its measurement."""
        total = cell.total_steps
        if self.recipe.schedule == "wsm":
            parent = self._add("merge", parent, cell.data_examples, total, total, total).id
        elif fork < total:
            parent = self._add("cooldown", parent, cell.data_examples, fork, total, total).id
        self._add("evaluate", parent, cell.data_examples, total, total, total, cell=cell)

    def _open_windows(self, cells: Sequence[Cell], leaves: dict[int, int], examples: int, stop: int) -> tuple[int, ...]:
        """Return the lengths of the cells that go through this end of a trunk with their window begun."""
        if self.recipe.schedule != "wsm":
            return ()
        main = max(leaves)
        found = set()
        for cell in cells:
            if examples == cell.data_examples:
                reach = cell.total_steps
            else:
                reach = min(cell.total_steps, leaves[cell.data_examples]) if examples == main else 0
            if reach >= stop >= self.recipe.snapshot_steps(cell.total_steps)[0]:
                found.add(cell.total_steps)
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
        cell: Cell | None = None,
        windows: tuple[int, ...] = (),
    ) -> Stage:
        first_pass = stop * self.recipe.batch_size <= examples
        stream = self.train_examples if first_pass else examples
        name = f"{self.digest}|{parent}|{kind}|{stream}|{start}|{stop}|{total}|{cell.id if cell else ''}|{windows}"
        return self.tree.add(
            Stage(
                id=hashlib.sha256(name.encode()).hexdigest(),
                kind=kind,
                parent=parent,
                shape=self.shape,
                seed=self.seed,
                recipe=self.recipe,
                start_step=start,
                stop_step=stop,
                total_steps=total,
                stream_examples=stream,
                cell=cell,
                windows=windows,
                flops=(stop - start) * self.recipe.batch_size * self.shape.train_flops,
                flops_evaluation=self.eval_examples * self.shape.forward_flops if cell else 0,
            )
        )
