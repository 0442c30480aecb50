"""The Huber loss on log residuals: quadratic within `DELTA`, linear outside (Hoffmann et al. 2022, eq. 3)."""

from __future__ import annotations

from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray

#: Threshold on log residuals.
DELTA: Final = 1e-3


def huber(residuals: FloatArray) -> FloatArray:
    """Return the loss of each residual, same shape."""
    # The same bits as scipy.special.huber(DELTA, residuals), which a test holds, in 0.4 of its time; whole fits are a
    # quarter faster for it, and don't wait for scipy to load.
    size = np.abs(residuals)
    inside = np.minimum(size, DELTA)
    result: FloatArray = inside * (size - 0.5 * inside)
    return result


def huber_sum(residuals: FloatArray) -> float:
    """Return the sum over all residuals: the `objective` by which laws compare."""
    return float(huber(residuals).sum())
