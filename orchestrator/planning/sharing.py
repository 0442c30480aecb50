"""Cells → stage tree: what cells have in common is trained once, then comes what is each one's own."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from orchestrator.planning.cell import Cell
from orchestrator.planning.compressed import CompressStep
from orchestrator.planning.content_id import content_id
from orchestrator.planning.family import ModelShape
from orchestrator.planning.tree import Stage, StageTree
from orchestrator.planning.trunk import Goal, Trunk


def build_tree(
    cells: Iterable[Cell],
    *,
    train_examples: Callable[[str], int],
    eval_examples: Callable[[str], int],
    share: bool = True,
    prefix: bool = True,
) -> StageTree:
    """Return the stage tree that measures every given cell.

    Parameters
    ----------
    cells
        Distinct cells; any subset of a sweep's cells gives each of them the same result (I3).
    train_examples
        Size of the fixed permutation that the streams of ``pretrain`` or ``finetune`` data are prefixes of.
    eval_examples
        Examples of either scored to measure one cell, over all splits.
    share
        False trains every cell alone, its parents included, through the same stages.
    prefix
        Whether the first pass over D examples is that over any larger number of them; where it isn't, cells of one D
        alone have a trunk in common.
    """
    tree = StageTree()
    groups: dict[tuple[ModelShape, int, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        root = cell.root
        alone = cell.id if not share else "" if cell.recipe.shares_trunk else root.id
        alone = alone or ("" if prefix else f"D={root.data_examples}")
        groups[(root.shape, cell.seed, cell.common, alone)].append(cell)
    for (*_, alone), members in groups.items():
        _grow(tree, members, alone, train_examples, eval_examples, prefix=prefix)
    return tree


def _grow(
    tree: StageTree,
    cells: Sequence[Cell],
    alone: str,
    train_examples: Callable[[str], int],
    eval_examples: Callable[[str], int],
    *,
    prefix: bool,
) -> None:
    """Add the stages of cells that descend from pretrained ones with a trunk in common."""
    roots = list({cell.root.id: cell.root for cell in cells}.values())
    first = roots[0]
    digest = content_id([first.common, first.shape.family, dict(first.shape.dims), first.seed, alone])
    trunk = Trunk(
        tree=tree,
        recipe=first.recipe,
        shape=first.shape,
        seed=first.seed,
        digest=digest,
        train_examples=train_examples("pretrain") if prefix else first.data_examples,
        step_flops=first.recipe.batch_size * first.shape.train_flops,
    )
    reached = trunk.grow({_goal(root): None for root in roots})
    ends = {root.id: reached[_goal(root)] for root in roots}
    ends |= _tuned(tree, cells, ends, train_examples("finetune"))
    for cell in cells:
        end = ends[cell.id] if cell.compressed is None else _compressed(tree, cell, ends)
        _measure(tree, cell, end, eval_examples(cell.data))


def _goal(cell: Cell) -> Goal:
    return Goal(cell.data_examples, cell.total_steps)


def _tuned(tree: StageTree, cells: Sequence[Cell], ends: dict[str, str], train_examples: int) -> dict[str, str]:
    """Add the fine-tuning of every pretrained cell; return the stages at whose end fine-tuned cells are reached."""
    bases = {base.id: base for cell in cells if (base := cell.parent if cell.compressed else cell) and base.tuning}
    groups: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for base in bases.values():
        assert base.tuning is not None
        alone = "" if base.tuning.recipe.shares_trunk else base.id
        groups[(base.root.id, base.tuning.content, alone)].append(base)
    found: dict[str, str] = {}
    for (root, content, alone), members in groups.items():
        tuning = members[0].tuning
        assert tuning is not None
        trunk = Trunk(
            tree=tree,
            recipe=tuning.recipe,
            shape=tuning.shape,
            seed=members[0].seed,
            digest=content_id([content, ends[root], alone]),
            train_examples=train_examples,
            step_flops=tuning.step_flops,
            root=ends[root],
            tuning=tuning,
        )
        goals = {
            member.id: Goal(member.tuning.examples, member.tuning.total_steps) for member in members if member.tuning
        }
        reached = trunk.grow(dict.fromkeys(goals.values()))
        found |= {member_id: reached[goal] for member_id, goal in goals.items()}
    return found


def _compressed(tree: StageTree, cell: Cell, ends: dict[str, str]) -> str:
    """Add the compressions of a cell; equal ones of the same parent are done once."""
    assert cell.compressed is not None
    assert cell.parent is not None
    parent = ends[cell.parent.id]
    for step in cell.compressed.steps:
        parent = _compress(tree, cell, step, parent)
    return parent


def _compress(tree: StageTree, cell: Cell, step: CompressStep, parent: str) -> str:
    stage_id = hashlib.sha256(f"{parent}|compress|{step.content}".encode()).hexdigest()
    added = tree.add(
        Stage(
            id=stage_id,
            kind="compress",
            parent=parent,
            shape=step.shape,
            seed=cell.seed,
            recipe=step.recipe,
            start_step=0,
            stop_step=step.training_steps,
            total_steps=step.training_steps,
            stream_examples=step.training_examples,
            data=cell.data,
            phase=f"compress {stage_id}",
            compress=step,
            flops=step.flops,
        )
    )
    return added.id


def _measure(tree: StageTree, cell: Cell, parent: str, examples: int) -> None:
    before = tree.stages[parent]
    tree.add(
        Stage(
            id=hashlib.sha256(f"{parent}|evaluate|{cell.id}".encode()).hexdigest(),
            kind="evaluate",
            parent=parent,
            shape=before.shape,
            seed=cell.seed,
            recipe=before.recipe,
            start_step=before.stop_step,
            stop_step=before.stop_step,
            total_steps=before.total_steps,
            stream_examples=before.stream_examples,
            data=before.data,
            phase=before.phase,
            cell=cell,
            flops_evaluation=examples * before.shape.forward_flops,
        )
    )
