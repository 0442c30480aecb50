"""What is left after a law, smoothed: neighbours of a row share most of its error, and a Gaussian process says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.far.form import Points

#: Residuals are clipped at this many root mean squares.
CLIP: Final = 3.0
#: Noise over signal of the process, both variances.
NOISE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Smoothed:
    """The posterior mean of a Gaussian process on residuals, with kernel exp(−½(Δln n² + Δln d²))."""

    points: Points
    duals: FloatArray

    @classmethod
    def of(cls, points: Points, residuals: FloatArray) -> Smoothed:
        """Return the smoothing of residuals (measured less fitted), shape (rows,)."""
        most = CLIP * float(np.sqrt(np.mean(residuals**2)))
        matrix = kernel(points, points) + NOISE * np.eye(residuals.size)
        duals: FloatArray = np.linalg.solve(matrix, np.clip(residuals, -most, most)).astype(np.float64)
        return cls(points, duals)

    def at(self, points: Points) -> FloatArray:
        """Return what is to be added to the law at points, shape (points,)."""
        result: FloatArray = kernel(points, self.points) @ self.duals
        return result


def kernel(left: Points, right: Points, length: float = 1.0) -> FloatArray:
    """Return exp(−½(Δln n² + Δln d²)/length²), shape (left, right)."""
    square = (left.x[:, None] - right.x) ** 2 + (left.z[:, None] - right.z) ** 2
    result: FloatArray = np.exp(-0.5 / length**2 * square)
    return result
