"""The product law: quality P = 1/L (or accuracy) is a power of each axis."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from orchestrator.fitting.axes import EXPONENTS, FloatArray
from orchestrator.fitting.law import Law, Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.linear import least_squares


class Product(Law):
    """P = C·N^α·D^β·E^γ·d^δ·e^ζ·ε^η with P = 1/L: log-linear, by least squares in closed form.

    Uses the axes that vary, whichever they are. Larger exponents mean faster gains.
    """

    name = "product"
    required = ()
    optional = tuple(EXPONENTS)
    data_seen = False
    fits_quality = True
    least_squares = True

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``C`` and one exponent for each axis."""
        used = tuple(axis for axis in EXPONENTS if axis in axes)
        return (Parameter("C", "factor", used), *(Parameter(EXPONENTS[a], "exponent", (a,)) for a in used))

    def log_loss(self, coords: FloatArray, log_axes: LogAxes) -> FloatArray:
        """Return −log P, shape (B, rows)."""
        return -coords @ _design(log_axes).T

    def slopes(self, coords: FloatArray, log_axes: LogAxes) -> FloatArray:
        """Return d log L / d (log C, exponents), shape (B, P, rows)."""
        return np.repeat(-_design(log_axes).T[None], len(coords), axis=0)

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        units = np.array([log_units[p.axes[0]] for p in self.parameters(log_units)[1:]])
        moved = coords.copy()
        moved[..., 0] -= coords[..., 1:] @ units + log_loss_unit
        return moved

    def solve(self, sample: Sample) -> FloatArray:
        """Return the least-squares solution, of least norm where axes are collinear."""
        weights = np.ones(sample.rows) if sample.weights is None else sample.weights
        solution, _ = least_squares(_design(sample.log_axes), -sample.log_loss, weights[None])
        first: FloatArray = solution[0]
        return first

    def resolve(self, sample: Sample, coords: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the weighted solutions (B, P); NaN where the weights leave an axis without variation."""
        design = _design(sample.log_axes)
        weights = weights if sample.weights is None else weights * sample.weights
        _, rank = least_squares(design, np.zeros(sample.rows), np.ones((1, sample.rows)))
        solutions, ranks = least_squares(design, -sample.log_loss, weights)
        solutions[ranks < rank] = np.nan
        return solutions


def _design(log_axes: LogAxes) -> FloatArray:
    """Ones beside the log axes, shape (rows, P)."""
    columns = [log_axes[axis] for axis in EXPONENTS if axis in log_axes]
    return np.column_stack([np.ones_like(columns[0]), *columns])
