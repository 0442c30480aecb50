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
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray, Mask, distinct, training_cost

#: Log width of a budget at most, within which people's rounding stays, and sizes that a profile needs.
WIDEST_BUDGET: Final = 0.4
#: Rows of one size from which, at steps of log compute below `CLOSE`, they are checkpoints of a run.
MANY_ROWS: Final = 8
CLOSE: Final = 0.15
#: Rows from which no budgets are looked for: a table of that many is a log of runs.
MOST_ROWS: Final = 2_000
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
    found: list[Profile] = []
    if n.size > MOST_ROWS:
        return found
    for rows in _same_budget(log_nde, np.log(n)):
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


def _same_budget(log_nde: FloatArray, log_n: FloatArray) -> list[Mask]:
    """Return the rows of each budget: as few budgets as none of them is wider than `WIDEST_BUDGET`.

    Rows of a run that was logged all along are no budgets of their own, and chain none together.
    """
    rows = np.flatnonzero(~_checkpoints(log_nde, log_n))
    if not rows.size:
        return []
    order = rows[np.argsort(log_nde[rows], kind="stable")]
    found = [np.isin(np.arange(log_nde.size), order[part]) for part in _breaks(log_nde[order])]
    return [rows for rows in found if rows.sum() >= FEWEST_SIZES]


def _checkpoints(log_nde: FloatArray, log_n: FloatArray) -> Mask:
    """Return which rows belong to a size whose rows follow each other closely along the compute."""
    found = np.zeros(log_nde.size, dtype=bool)
    for size in np.unique(np.round(log_n, 9)):
        rows = np.abs(log_n - size) < 1e-8
        steps = np.diff(np.sort(log_nde[rows]))
        steps = steps[steps > 1e-6]
        if steps.size + 1 >= MANY_ROWS and np.median(steps) < CLOSE:
            found |= rows
    return found


def _breaks(ordered: FloatArray) -> list[NDArray[np.intp]]:
    """Cut ordered values into groups: at every wide gap, and within a chain by the least squares about means."""
    chains = np.split(np.arange(ordered.size), np.flatnonzero(np.diff(ordered) > WIDEST_BUDGET / 2) + 1)
    found: list[NDArray[np.intp]] = []
    for chain in chains:
        values = ordered[chain]
        for count in range(1, chain.size + 1):
            cut = _least_squares_cuts(values, count)
            if all(np.ptp(values[part]) <= WIDEST_BUDGET for part in cut):
                found += [chain[part] for part in cut]
                break
    return found


def _least_squares_cuts(values: FloatArray, count: int) -> list[NDArray[np.intp]]:
    """Cut ordered values into so many groups with the least squares about their means (Fisher 1958)."""
    size = values.size
    sums, squares = (np.concatenate([[0.0], np.cumsum(values**power)]) for power in (1, 2))
    starts, ends = np.arange(size)[:, None], np.arange(1, size + 1)[None]
    length = np.maximum(ends - starts, 1)
    cost = squares[ends] - squares[starts] - (sums[ends] - sums[starts]) ** 2 / length
    cost = np.where(ends > starts, np.maximum(cost, 0.0), np.inf)
    best, back = cost[0], np.zeros((count, size), dtype=np.intp)
    for k in range(1, count):
        total = np.concatenate([[np.inf], best[:-1]])[:, None] + cost
        back[k], best = total.argmin(axis=0), total.min(axis=0)
    cuts, end = [], size
    for k in range(count - 1, -1, -1):
        begin = int(back[k, end - 1]) if k else 0
        cuts.append(np.arange(begin, end))
        end = begin
    return cuts[::-1]
