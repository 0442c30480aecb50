"""What training promises of every family, source and optimizer, tried on a small sweep without a cluster.

``scalaw plugin check`` and ``pytest --scalaw`` run it on people's own; ours pass it in `tests/workers`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch

from orchestrator.planning.plan import Plan
from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import FAMILIES
from workers.protocols import Engine

#: What a row must have equal to the bit however it came about.
LOSSES: Final = ("train_loss", "val_loss", "test_loss")


class _Cut(Exception):
    """Training was stopped in the middle of a stage."""


class _Stopper:
    """Stands where a checkpointer does: keeps the state at one step, and ends the stage there."""

    def __init__(self, engine: Engine, at: int) -> None:
        self.engine, self.at = engine, at
        self.kept = b""

    def after_step(self, stage: Stage, step: int, state: Callable[[], Any]) -> None:
        """Stop at the step that was named."""
        if step == self.at:
            self.kept = self.engine.pack(state())
            raise _Cut


def engine_of(plan: Plan) -> Engine:
    """Return a fresh engine of a plan's family, with its data loaded."""
    engine: type[Engine] = FAMILIES.load_training(plan.context.family)().engine()
    return engine(plan.context)


def trained(plan: Plan, *, disturbed: bool = False, cut: bool = False) -> dict[str, dict[str, Any]]:
    """Return what each cell of a plan measures, by its id.

    Parameters
    ----------
    disturbed
        Whether every generator that a stage could look at is in another state before each of them.
    cut
        Whether each stage is stopped in its middle, and another engine goes on from what was written down.
    """
    engine = engine_of(plan)
    other = engine_of(plan) if cut else engine
    found: dict[str, dict[str, Any]] = {}
    waiting: list[tuple[Stage, Any]] = [(root, None) for root in plan.tree.children[None]]
    while waiting:
        stage, parent = waiting.pop()
        if disturbed:
            _disturb(len(found) + len(waiting))
        if stage.kind == "evaluate":
            assert stage.cell is not None
            found[stage.cell.id] = engine.measure(stage, parent)
            continue
        before = None if parent is None else engine.pack(parent)
        if cut and stage.steps > 1 and stage.kind != "merge":
            state = _cut_and_taken_up(engine, other, stage, parent)
            engine, other = other, engine
        else:
            state = engine.train(stage, parent)
        if before is not None and engine.pack(parent) != before:
            raise AssertionError(f"a stage of {stage.steps} steps has written into its parent's state")
        waiting += [(child, state) for child in plan.tree.children.get(stage.id, ())]
    return found


def broken_promises(plan: Callable[[bool], Plan]) -> list[str]:
    """Return a sentence for each promise of training that is broken.

    Parameters
    ----------
    plan
        Returns the plan of one sweep, its cells sharing training or each alone.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small models gain nothing by more, and lose where other work runs beside them
    try:
        return _broken(plan(True), plan(False))
    finally:
        torch.set_num_threads(threads)


def _broken(shared: Plan, alone: Plan) -> list[str]:
    expected = trained(alone)
    tries: dict[str, Callable[[], Mapping[str, dict[str, Any]]]] = {
        "determinism: the same cell trained again has the same losses": lambda: trained(alone),
        "exact fork: a cell of a shared trunk has the losses of that cell alone": lambda: trained(shared),
        "resume: a stage taken up elsewhere from its middle ends in the same losses": lambda: trained(shared, cut=True),
        "randomness is derived (I9): generators outside have no say": lambda: trained(shared, disturbed=True),
    }
    found = []
    for promise, attempt in tries.items():
        try:
            differs = _difference(expected, attempt())
        except AssertionError as broken:
            differs = str(broken)
        if differs:
            found.append(f"{promise}: {differs}")
    wild = [row["val_loss"] for row in expected.values() if not np.isfinite(row["val_loss"])]
    return [*found, *(["losses are finite: some are not"] if wild else [])]


def _difference(expected: Mapping[str, dict[str, Any]], found: Mapping[str, dict[str, Any]]) -> str:
    for cell_id, row in expected.items():
        for name in LOSSES:
            if row[name] != found[cell_id][name]:
                return f"{name} {found[cell_id][name]!r} for {row[name]!r}"
    return ""


def _cut_and_taken_up(engine: Engine, other: Engine, stage: Stage, parent: Any) -> Any:
    """Return the state that another engine ends a stage with which the first one has begun."""
    first = 0 if stage.kind == "compress" else stage.start_step
    stopper: Any = _Stopper(engine, first + max(1, stage.steps // 2))
    try:
        return engine.train(stage, parent, stopper)
    except _Cut:
        return other.train(stage, other.unpack(stopper.kept))


def _disturb(number: int) -> None:
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
