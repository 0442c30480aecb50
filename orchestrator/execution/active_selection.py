"""Active selection: which cells of a sweep are trained next, by what the rows so far leave unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.selection.costs import Costs
from orchestrator.fitting.selection.selector import Choice, Selector
from orchestrator.fitting.validation import held_out_rows
from orchestrator.planning import Plan
from orchestrator.planning.cell import Cell

#: Cells of a batch at least, and for each gang.
BATCH: Final = 6
BATCH_PER_GANG: Final = 2


class CellChooser:
    """Chooses cells of a plan in batches until a share of its FLOPs is spent or the target is known.

    What is chosen from are the last cells of each chain before compression; the pretrained cell before a fine-tuned one
    and the compressed variants behind it are trained along. The target are the cells that `held_out_rows` names: the
    largest N and the largest D. A cell costs the stages that nothing chosen before it needs.

    Parameters
    ----------
    plan
        Of the whole grid.
    budget_fraction
        Share of the plan's FLOPs that may be spent, rows that are there already included.
    rows
        Those of the sweep that the store has.
    say
        Takes a sentence for each cell, and one at the end.

    Raises
    ------
    BadInput
        If the grid has several recipes, no target, or no cell that the budget pays for.
    """

    def __init__(
        self, plan: Plan, budget_fraction: float, rows: Iterable[Mapping[str, Any]], say: Callable[[str], None]
    ) -> None:
        if len({cell.common for cell in plan.cells}) > 1:
            raise BadInput(
                "cells are chosen (`budget_fraction`) under one recipe: leave grid.recipes out, or run the whole grid"
            )
        self.budget_fraction, self.say = budget_fraction, say
        self.reached: str | None = None
        self.chosen: list[dict[str, Any]] = []
        self._cells = [cell for cell in plan.cells if _may_be_chosen(cell, plan)]
        self._point = {cell.id: k for k, cell in enumerate(self._cells)}
        self._together: dict[int, list[Cell]] = {k: [cell.root, cell] for k, cell in enumerate(self._cells)}
        for cell in plan.cells:
            if cell.compressed is not None and cell.parent is not None:
                self._together[self._point[cell.parent.id]].append(cell)
        #: Cells that were handed out, so that a run that begins anew can go on with those that are missing.
        self.asked_for: set[str] = set()
        self._losses: dict[int, float] = {}
        self._lost: set[int] = set()
        self._target = plan.sweep.fit.target
        self._selector = self._selector_of(plan)
        done = set()
        for row in rows:
            self.note(row)
            done.add(row["cell_id"])
        self._left = [cell.id for k in self._losses for cell in self._together[k] if cell.id not in done]
        for point in self._losses:
            self._selector.take(point)

    @property
    def spent_flops(self) -> float:
        """Training FLOPs of what was chosen, and of the rows that were there."""
        return self._selector.costs.spent

    def note(self, row: Mapping[str, Any]) -> None:
        """Take a row in."""
        point = self._point.get(row["cell_id"])
        if point is None:
            return
        value = _loss(row, self._target)
        if value is None:
            self._lost.add(point)
        else:
            self._losses[point] = value

    def next_cells(self) -> list[str]:
        """Return the ids of the cells to train next; none at the end, of which `reached` then tells why."""
        left, self._left = self._left, []
        choices = self._selector.next_batch(self._losses, self._lost)
        if choices:
            laws = ", ".join(choices[0].laws)
            self.say(f"chosen by {laws}:" if laws else "chosen while no law can be fitted:")
        for choice in choices:
            self._tell(choice)
        found = dict.fromkeys([*left, *(cell.id for choice in choices for cell in self._together[choice.point])])
        if not found:
            self.reached = self._why()
            self.say(self.reached)
        self.asked_for.update(found)
        return list(found)

    def to_json(self) -> dict[str, Any]:
        """Return what was chosen and why, as the sweep's record in the store has it."""
        return {
            "budget_fraction": self.budget_fraction,
            "flops": self.spent_flops,
            "target_interval_log": self._selector.width,
            "reached": self.reached,
            "chosen": self.chosen,
        }

    def _selector_of(self, plan: Plan) -> Selector:
        columns = _columns(self._cells)
        hold_out = plan.sweep.fit.hold_out
        mask = held_out_rows(columns, "largest" if hold_out == "none" else hold_out)
        if mask is None:
            raise BadInput(
                "choosing cells (`budget_fraction`) has no target: no axis of the grid varies; "
                "give grid.params several sizes"
            )
        costs = stage_costs(plan, [self._together[k] for k in range(len(self._cells))])
        budget, least = costs.budget(self.budget_fraction), float(costs.marginal().min())
        if least > budget:
            raise BadInput(
                f"`budget_fraction` {self.budget_fraction:g} of {costs.total:.3g} FLOPs pays for no cell; "
                f"the cheapest takes {least / costs.total:.2g} of them"
            )
        return Selector(
            columns,
            candidates=np.arange(len(self._cells)),
            targets=np.flatnonzero(mask),
            costs=costs,
            budget=budget,
            batch=max(BATCH, BATCH_PER_GANG * plan.gangs),
            interval=plan.sweep.fit.target_interval,
            target=self._target,
            seed=plan.sweep.seed,
        )

    def _tell(self, choice: Choice) -> None:
        cell = self._cells[choice.point]
        share = choice.cost / (self._selector.budget or 1.0)
        self.say(
            f"  {cell.id[:12]} ({_coordinates(cell)}): expected to take {choice.gain:.1%} off the target's variance "
            f"for {share:.1%} of the budget"
        )
        self.chosen.append(
            {"cell_id": cell.id, "expected_gain": choice.gain, "flops": choice.cost, "laws": list(choice.laws)}
        )

    def _why(self) -> str:
        selector = self._selector
        spent = f"{selector.costs.spent / selector.costs.total:.1%} of the grid's FLOPs spent"
        if selector.interval is not None and selector.width is not None and selector.width <= selector.interval:
            return (
                f"selection ends: the target's 90 % interval is {selector.width:.3g} wide in log loss, "
                f"at most fit.target_interval {selector.interval:g}; {spent}"
            )
        if len(self._losses) + len(self._lost) == len(self._cells):
            return f"selection ends: every cell is measured; {spent}"
        return f"selection ends: no other cell fits into the budget; {spent}"


def _may_be_chosen(cell: Cell, plan: Plan) -> bool:
    return cell.compressed is None and (cell.tuning is not None) == (plan.sweep.grid.finetune is not None)


def _columns(cells: Iterable[Cell]) -> dict[str, FloatArray]:
    rows = [
        (
            cell.root.shape.params_non_embedding,
            cell.data_examples,
            cell.epochs,
            *((cell.tuning.examples, cell.tuning.epochs) if cell.tuning is not None else ()),
        )
        for cell in cells
    ]
    return dict(zip(("n", "d", "e", "ft_d", "ft_e"), np.array(rows, dtype=np.float64).T, strict=False))


def stage_costs(plan: Plan, together: Iterable[Iterable[Cell]]) -> Costs:
    """Return the training FLOPs of the stages that each group of cells needs; groups share what they share."""
    leaf = {stage.cell.id: stage for stage in plan.tree if stage.cell is not None}
    parts = []
    for cells in together:
        needed: dict[str, None] = {}
        for cell in cells:
            stage = leaf.get(cell.id)
            while stage is not None and stage.id not in needed:
                needed[stage.id] = None
                stage = plan.tree.stages.get(stage.parent or "")
        parts.append(list(needed))
    return Costs(parts, {stage.id: float(stage.flops) for stage in plan.tree})


def _loss(row: Mapping[str, Any], target: str) -> float | None:
    value = row["val_loss" if target == "loss" else target] if row["status"] == "ok" else None
    if value is None or not value > 0:
        return None
    return float(value) if target == "loss" else 1.0 / float(value)


def _coordinates(cell: Cell) -> str:
    of = f"n = {cell.root.shape.params_non_embedding:,}, d = {cell.data_examples:,} examples, e = {cell.epochs}"
    tuned = f", ft_d = {cell.tuning.examples:,}, ft_e = {cell.tuning.epochs}" if cell.tuning is not None else ""
    return f"{of}{tuned}, seed {cell.seed}"
