"""The parabola through an IsoFLOP profile (Hoffmann et al. 2022, approach 2), to set beside a law's optimum.

Runs of one budget are told by their n·d·e; the least loss of a parabola in log N gives N* there, and a line through
log N* over log budget gives it elsewhere. Where the exponents of N and D differ, or the sizes tried lie off the
optimum, the parabola is biased even without noise (arXiv 2603.22339); a law that holds is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray, Mask, distinct, training_cost

#: Budgets whose logarithms differ by less are the same one, and sizes that a profile needs.
SAME_BUDGET: Final = 0.05
FEWEST_SIZES: Final = 4


@dataclass(frozen=True, slots=True)
class Profile:
    """The runs of one budget: their n·d·e, and N at the parabola's least loss."""

    nde: float
    n: float


def profiles(columns: Mapping[str, FloatArray], loss: FloatArray) -> list[Profile]:
    """Return the budgets of a table that have enough sizes and a least loss among them, cheapest first.

    Parameters
    ----------
    columns, loss
        Of shape (rows,): ``n``, ``d`` (with ``e`` beside it unique data, else in total) and the loss.
    """
    n, log_nde = columns["n"], np.log(training_cost(columns))
    found = []
    for rows in _same_budget(log_nde):
        if distinct(n[rows]) < FEWEST_SIZES:
            continue
        least = parabola_minimum(np.log(n[rows]), np.log(loss[rows]))
        if least is not None:
            found.append(Profile(float(np.exp(np.mean(log_nde[rows]))), float(np.exp(least))))
    return found


def parabola_minimum(log_n: FloatArray, log_loss: FloatArray) -> float | None:
    """Return where the least-squares parabola is least, or None where it opens downwards or that lies off the rows."""
    centre = log_n.mean()
    curve, slope, _ = np.polyfit(log_n - centre, log_loss, 2)
    if curve <= 0:
        return None
    least = centre - slope / (2.0 * curve)
    return float(least) if log_n.min() <= least <= log_n.max() else None


def extrapolated(found: list[Profile], nde: float) -> float | None:
    """Return N* at a budget by a line through the profiles' logarithms; None for fewer than three of them."""
    if len(found) < 3:
        return None
    x, y = np.log([p.nde for p in found]), np.log([p.n for p in found])
    slope, level = np.polyfit(x - x.mean(), y, 1)
    return float(np.exp(level + slope * (np.log(nde) - x.mean())))


def _same_budget(log_nde: FloatArray) -> list[Mask]:
    order = np.argsort(log_nde, kind="stable")
    starts = np.flatnonzero(np.diff(log_nde[order], prepend=-np.inf) > SAME_BUDGET)
    return [np.isin(np.arange(log_nde.size), rows) for rows in np.split(order, starts[1:])]
