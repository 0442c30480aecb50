"""Predicting the dearer rows from the cheaper ones, again and again: how well a law extrapolates.

The rows are ordered by cost and cut into parts; a law fitted to all parts before one predicts it. Forward chaining is
what a scaling law is for, and its errors hold what a bootstrap can't see: that the law is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray, Mask, training_cost, varies
from orchestrator.fitting.law import Law, Sample

#: Shares of the rows, cheapest first, that are fitted to predict up to the next share.
SHARES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
#: Rows that are predicted from each other at most.
MOST_ROWS: Final = 5_000


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


def errors_ahead(law: Law, sample: Sample, coords: FloatArray, folds: Sequence[Fold]) -> list[FloatArray | None]:
    """Return a law's errors of the log loss on each fold's rows ahead; None where the known rows can't carry it.

    Parameters
    ----------
    sample, coords
        All rows, and the solution on them (P,), from which the fits to the known rows start. Of more than `MOST_ROWS`
        a random part is taken, the same for every law.
    """
    if sample.rows > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(sample.rows, MOST_ROWS, replace=False))
        sample, folds = sample.part(rows), [Fold(fold.known[rows], fold.ahead[rows]) for fold in folds]
    carried = [_carries(law, sample.part(fold.known)) for fold in folds]
    weights = np.array([fold.known for fold, good in zip(folds, carried, strict=True) if good], dtype=np.float64)
    solved = iter(law.resolve(sample, coords, weights) if len(weights) else ())
    found: list[FloatArray | None] = []
    for fold, good in zip(folds, carried, strict=True):
        at = next(solved) if good else None
        if at is None or np.isnan(at).any():
            found.append(None)
        else:
            ahead = sample.part(fold.ahead)
            found.append(law.log_loss(at[None], ahead.log_axes)[0] - ahead.log_loss)
    return found


def _carries(law: Law, known: Sample) -> bool:
    steady = any(name in law.optional and not varies(np.exp(x)) for name, x in known.log_axes.items())
    return not steady and law.obstacle(known.log_axes) is None
