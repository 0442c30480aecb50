"""Stage trees of any form, for tests of the bookkeeping over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from orchestrator.planning import Plan, make_plan
from orchestrator.planning.cost import Rate
from orchestrator.planning.tree import Stage, StageTree
from orchestrator.spec import parse_sweep

CELLS = """\
name: cells
data: {source: simulated, examples: 1M}
model: {family: simulated}
grid: {params: [1k, 3k], data_fraction: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], epochs: [1, 2]}
"""
RATE = Rate(flops_per_s=1e9, step_s=1e-3, stage_s=0.1)


@cache
def _plan() -> Plan:
    return make_plan(parse_sweep(CELLS))


def tree_of(parents: Sequence[int | None], leaves: Sequence[int | None]) -> StageTree:
    """Return a tree of trunks and cells.

    Parameters
    ----------
    parents
        Of each trunk the number of the one before it, ``None`` for a root.
    leaves
        Of each cell the number of the trunk that it is measured after, ``None`` where nothing is trained.
    """
    plan = _plan()
    trunk = next(stage for stage in plan.tree if stage.kind == "trunk")
    evaluate = next(stage for stage in plan.tree if stage.kind == "evaluate")
    stages: dict[str, Stage] = {}
    for k, parent in enumerate(parents):
        stage = replace(
            trunk, id=name(k), parent=name(parent), start_step=0, stop_step=4, flops=4 * (k + 1), flops_evaluation=0
        )
        stages[stage.id] = stage
    for k, parent in enumerate(leaves):
        stage = replace(evaluate, id=f"e{k:02d}", parent=name(parent), cell=plan.cells[k], flops=0)
        stages[stage.id] = stage
    return StageTree(stages)


def name(trunk: int | None) -> str | None:
    """Return a trunk's id."""
    return None if trunk is None else f"a{trunk:02d}"
