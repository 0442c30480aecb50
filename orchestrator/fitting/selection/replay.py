"""Selection on a finished table: what it would have cost, and how well the dear rows would have been predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES, FloatArray, Mask
from orchestrator.fitting.check import QUALITIES, check_table
from orchestrator.fitting.estimate import fit
from orchestrator.fitting.result import FitReport
from orchestrator.fitting.selection.costs import Costs
from orchestrator.fitting.selection.selector import Choice, Selector
from orchestrator.fitting.validation import held_out_rows


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A selection that was replayed.

    Parameters
    ----------
    choices
        Rows of the table in the order in which they were chosen.
    cost, total_cost
        Of the chosen rows, and of all that could be chosen.
    candidates, targets
        How many rows could be chosen, and how many were predicted.
    report
        The fits to the chosen rows.
    r2, rmse_log, covered
        Of the predictions of the targets by the laws in ``report.near``: R² of the target itself, root mean square
        error of its logarithm, and the share of the targets inside their 90 % intervals.
    """

    choices: list[Choice]
    cost: float
    total_cost: float
    candidates: int
    targets: int
    report: FitReport
    r2: float
    rmse_log: float
    covered: float | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary."""
        return {
            "rows": len(self.choices),
            "candidates": self.candidates,
            "cost": self.cost,
            "total_cost": self.total_cost,
            "targets": self.targets,
            "r2": self.r2,
            "rmse_log": self.rmse_log,
            "covered": self.covered,
            "laws": self.report.near,
            "chosen": [
                {"row": choice.point, "cost": choice.cost, "expected_gain": choice.gain, "laws": list(choice.laws)}
                for choice in self.choices
            ],
            "warnings": self.report.warnings,
        }


def replay(
    table: pa.Table,
    cost: FloatArray,
    *,
    ahead: pa.Table | None = None,
    target: str = "loss",
    budget_fraction: float = 0.1,
    interval: float | None = None,
    laws: Sequence[str] | None = None,
    bootstrap: int = 200,
    seed: int = 0,
) -> Replay:
    """Choose rows of a table as a run with a `budget_fraction` chooses cells, and predict others from them.

    Parameters
    ----------
    table
        As `fit` takes it.
    cost
        Of each row, shape (rows,); rows share nothing.
    ahead
        What is to be predicted, with the same axes; by default the table's largest rows (`held_out_rows`), which then
        can't be chosen.
    budget_fraction
        Share of the cost of all rows that can be chosen.
    interval
        As `Selector` takes it.
    laws, bootstrap
        Of the fit to the chosen rows, as `fit` takes them.
    seed
        Decides between rows that are worth the same.

    Raises
    ------
    BadInput
        If the tables don't fit together, there is nothing to predict, or the budget pays for no fit.
    """
    points, mask = _points(table, ahead, target)
    axes = [axis for axis in AXES if axis in points]
    candidates = np.flatnonzero(~mask)
    costs = Costs.apart(cost[candidates])
    selector = Selector(
        {axis: points[axis] for axis in axes},
        candidates=candidates,
        targets=np.flatnonzero(mask),
        costs=costs,
        budget=costs.budget(budget_fraction),
        interval=interval,
        target=target,
        seed=seed,
    )
    chosen = selector.choose_all(1.0 / points[target] if target in QUALITIES else points[target])
    rows = np.array([choice.point for choice in chosen], dtype=np.intp)
    report = fit(_table(points, rows), target=target, laws=laws, bootstrap=bootstrap, seed=seed) if rows.size else None
    if report is None or not report.fits:
        why = "; ".join(report.warnings) if report is not None else "no row is cheap enough"
        raise BadInput(f"no law can be fitted to the {rows.size} rows that the budget pays for: {why}; raise it")
    aims, truth = _table(points, np.flatnonzero(mask)), points[target][mask]
    r2, rmse_log = quality(report, aims, truth)
    covered = None
    if bootstrap:
        lo, hi = report.predict_interval(aims)
        covered = float(np.mean((lo <= truth) & (truth <= hi)))
    return Replay(
        choices=chosen,
        cost=costs.spent,
        total_cost=costs.total,
        candidates=candidates.size,
        targets=int(mask.sum()),
        report=report,
        r2=r2,
        rmse_log=rmse_log,
        covered=covered,
    )


def _points(table: pa.Table, ahead: pa.Table | None, target: str) -> tuple[dict[str, FloatArray], Mask]:
    """Return the rows of both tables as columns, and which of them are to be predicted."""
    known = check_table(table, target)
    axes = [axis for axis in AXES if axis in known]
    if ahead is None:
        mask = held_out_rows({axis: known[axis] for axis in axes}, "largest")
        if mask is None:
            raise BadInput("no axis varies, so there is nothing to predict; add rows")
        return known, mask
    wanted = check_table(ahead, target)
    if [axis for axis in AXES if axis in wanted] != axes:
        raise BadInput(f"the rows to predict have other axes than {', '.join(axes)}; give both tables the same")
    points = {name: np.concatenate([known[name], wanted[name]]) for name in (*axes, target)}
    return points, np.arange(points[target].size) >= table.num_rows


def quality(report: FitReport, aims: pa.Table, truth: FloatArray) -> tuple[float, float]:
    """Return R² of a target and the root mean square error of its logarithm, as the laws in ``near`` predict it."""
    predicted = report.predict(aims)
    r2 = 1.0 - float(((predicted - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    return r2, float(np.sqrt(np.mean(np.log(predicted / truth) ** 2)))


def _table(points: dict[str, FloatArray], rows: np.ndarray) -> pa.Table:
    return pa.table({name: values[rows] for name, values in points.items()})
