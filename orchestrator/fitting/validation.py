"""How well a law extrapolates: which rows it is tested on, and its errors on them.

Two tests: a second fit without the dearest rows (`held_out_rows`), and forward chaining (`folds`, `errors_ahead`):
the rows are ordered by cost and cut into parts, and a law fitted to all parts before one predicts it. That is what a
scaling law is for, and its errors hold what a bootstrap can't see: that the law is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES, FloatArray, Mask, distinct, training_cost, varies
from orchestrator.fitting.law import Law
from orchestrator.fitting.sample import Sample

HoldOut = str | float | None
#: With more distinct values than this on both axes there is no grid, and the dearest share is held out.
MOST_LEVELS: Final = 12
DEAREST_SHARE: Final = 0.2
#: Shares of the rows, cheapest first, that are fitted to predict up to the next share.
SHARES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
#: Rows that are predicted from each other at most.
MOST_ROWS: Final = 2_000


def held_out_rows(columns: Mapping[str, FloatArray], hold_out: HoldOut) -> Mask | None:
    """Return a mask of the rows to hold out, shape (rows,), or None where none are.

    Parameters
    ----------
    hold_out
        ``"largest"``: rows with the largest n or the largest d, or, with more than `MOST_LEVELS` distinct values on
        both, the dearest 20 % by n·d. A number f: the dearest share f by n·d·e. ``"none"`` or None: no rows.

    Raises
    ------
    BadInput
        If it is none of these.
    """
    if hold_out is None or hold_out == "none":
        return None
    if hold_out == "largest":
        moving = [a for a in ("n", "d") if a in columns and varies(columns[a])]
        if len(moving) == 2 and all(distinct(columns[a]) > MOST_LEVELS for a in moving):
            return _dearest(columns["n"] * columns["d"], DEAREST_SHARE)
        moving = moving or [a for a in AXES if a in columns and varies(columns[a])][:1]
        if not moving:
            return None
        mask = np.zeros(columns[moving[0]].size, dtype=bool)
        for axis in moving:
            mask |= columns[axis] >= columns[axis].max() * (1 - 1e-9)
        return mask
    return _dearest(training_cost(columns), _share(hold_out))


def _share(hold_out: str | float) -> float:
    try:
        share = float(hold_out)
    except ValueError:
        share = float("nan")
    if not 0 < share < 1:
        raise BadInput(f"hold_out {hold_out!r}: write largest, none, or a share between 0 and 1 such as 0.2")
    return share


def _dearest(cost: FloatArray, share: float) -> Mask:
    """The dearest rows, rounded to at least one; rows of one cost go together where the share allows."""
    count = max(1, round(share * cost.size))
    mask = np.zeros(cost.size, dtype=bool)
    mask[np.argsort(-cost, kind="stable")[:count]] = True
    return mask


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that are fitted, and dearer ones that are predicted from them; masks of shape (rows,)."""

    known: Mask
    ahead: Mask


def folds(columns: Mapping[str, FloatArray]) -> list[Fold]:
    """Return the folds of a table, by n·d·e and what fine-tuning adds as factors; rows of one cost stay together.

    Parameters
    ----------
    columns
        Axes of shape (rows,).
    """
    cost = np.log(training_cost(columns))
    for axis in ("ft_d", "ft_e"):
        cost = cost + np.log(columns.get(axis, np.ones(1)))
    levels = np.sort(cost)
    edges = [levels[max(0, round(share * levels.size) - 1)] for share in SHARES]
    found = []
    for lower, upper in pairwise(edges):
        known = cost <= lower + 1e-9
        ahead = ~known & (cost <= upper + 1e-9)
        if ahead.any():
            found.append(Fold(known, ahead))
    return found


def errors_ahead(law: Law, sample: Sample, folds: Sequence[Fold]) -> list[FloatArray | None]:
    """Return a law's errors of the log loss on each fold's rows ahead; None where the known rows can't carry it.

    Each fold is fitted from nothing to its known rows alone: started from the solution on all rows, a law with a break
    would know where the break lies before it comes.

    Parameters
    ----------
    sample
        All rows. Of more than `MOST_ROWS` a random part is taken, the same for every law.
    """
    if sample.rows > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(sample.rows, MOST_ROWS, replace=False))
        sample, folds = sample.part(rows), [Fold(fold.known[rows], fold.ahead[rows]) for fold in folds]
    carried = [bool(fold.ahead.any()) and _carries(law, sample.part(fold.known)) for fold in folds]
    solved = iter(law.solve_parts(sample, [fold.known for fold, good in zip(folds, carried, strict=True) if good]))
    found: list[FloatArray | None] = []
    for fold, good in zip(folds, carried, strict=True):
        ahead, at = sample.part(fold.ahead), next(solved) if good else None
        if at is None or np.isnan(at).any():
            found.append(None)
        else:
            found.append(law.log_loss(at[None], ahead.log_axes)[0] - ahead.log_loss)
    return found


def _carries(law: Law, known: Sample) -> bool:
    steady = any(name in law.optional and not varies(np.exp(x)) for name, x in known.log_axes.items())
    return not steady and law.obstacle(known.log_axes) is None
