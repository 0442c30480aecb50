"""Rows that lie far from a law: diverged runs, or typing errors."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray

#: Robust standard deviations from the law's median residual beyond which a row is named.
FAR: Final = 6.0
#: Deviations below this (log loss) are rounding, not noise.
LEAST_DEVIATION: Final = 1e-4


def far_rows(residuals: FloatArray) -> NDArray[np.intp]:
    """Return the indices of rows farther than `FAR` robust deviations (1.4826 · MAD), in row order."""
    away = np.abs(residuals - np.median(residuals))
    deviation = max(1.4826 * float(np.median(away)), LEAST_DEVIATION)
    return np.flatnonzero(away > FAR * deviation)
