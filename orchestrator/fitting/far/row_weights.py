"""What a row counts for in an answer far out: dear rows near the envelope of the lowest losses count most."""

from __future__ import annotations

from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray

#: Log loss above the lowest loss of rows no dearer than `NEIGHBOUR` times a row, at which it counts half.
ENVELOPE_WIDTH: Final = 0.05
NEIGHBOUR: Final = 1.42
#: Powers of the compute that are tried, from 1 down by this factor, and the least that is one.
SHRINK: Final = 0.85
LEAST_POWER: Final = 0.02
#: Rows that must be left in effect: this share of them, and this many; with no more than that all count alike.
EFFECTIVE_SHARE: Final = 0.4
EFFECTIVE_ROWS: Final = 12


def row_weights(log_cost: FloatArray, log_loss: FloatArray) -> FloatArray:
    """Return the rows' weights, shape (rows,), mean 1.

    Parameters
    ----------
    log_cost, log_loss
        ln(n·d) and ln L of the rows that are known, shape (rows,).
    """
    order = np.argsort(log_cost, kind="stable")
    running = np.minimum.accumulate(log_loss[order])
    last = np.searchsorted(log_cost[order], log_cost + np.log(NEIGHBOUR), side="right") - 1
    off = (log_loss - running[last]) / ENVELOPE_WIDTH
    weights: FloatArray = _by_cost(log_cost) / (1.0 + off * off)
    return weights * float(weights.size / weights.sum())


def _by_cost(log_cost: FloatArray) -> FloatArray:
    rows, below = log_cost.size, log_cost - log_cost.max()
    power = 1.0
    while rows > EFFECTIVE_ROWS and power > LEAST_POWER:
        weights: FloatArray = np.exp(power * below)
        effective = float(weights.sum()) ** 2 / float((weights * weights).sum())
        if effective >= max(EFFECTIVE_ROWS, EFFECTIVE_SHARE * rows):
            return weights
        power *= SHRINK
    return np.ones(rows)
