"""The product law with an irreducible loss."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import EXPONENTS, FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.linear import least_squares
from orchestrator.fitting.solver.terms import Term

#: Floors tried, as shares of the lowest loss; given the floor the rest is log-linear.
FLOORS: Final = np.array([0.0, 0.2, 0.4, 0.55, 0.7, 0.8, 0.87, 0.92, 0.95, 0.97, 0.985, 0.995])


class ProductFloor(AdditiveLaw):
    """L = L_inf + C·N^−α·D^−β·E^−γ·d^−δ·e^−ζ·ε^−η on the axes that vary, by Huber on the log residual."""

    name = "product_floor"
    required = ()
    optional = tuple(EXPONENTS)
    data_seen = False

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``L_inf``, ``C`` and one exponent for each axis."""
        used = tuple(axis for axis in EXPONENTS if axis in axes)
        return (
            Parameter("L_inf", "floor"),
            Parameter("C", "factor", used),
            *(Parameter(EXPONENTS[axis], "exponent", (axis,)) for axis in used),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor and the power term."""
        axes = _matrix(log_axes)
        ones = np.ones((1, 1, axes.shape[1]))
        floor = np.broadcast_to(coords[:, :1], (len(coords), axes.shape[1]))
        power = coords[:, 1:2] - coords[:, 2:] @ axes
        slots = tuple(range(1, coords.shape[1]))
        return Term(floor, (0,), ones), Term(power, slots, np.concatenate([ones, -axes[None]], axis=1))

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        units = np.array([log_units[p.axes[0]] for p in self.parameters(log_units)[2:]])
        moved = coords.copy()
        moved[..., 0] += log_loss_unit
        moved[..., 1] += coords[..., 2:] @ units + log_loss_unit
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the log-linear solution above each of `FLOORS`."""
        loss = np.exp(sample.log_loss)
        floors = FLOORS * np.quantile(loss, 0.01)
        above = np.maximum(loss - floors[:, None], 1e-3 * loss)
        axes = _matrix(sample.log_axes)
        design = np.column_stack([np.ones(sample.rows), -axes.T])
        solutions, _ = least_squares(design, np.log(above), (above / loss) ** 2)
        return np.column_stack([np.log(np.maximum(floors, 1e-2)), solutions])


def _matrix(log_axes: LogAxes) -> FloatArray:
    """The log axes, shape (axes, rows)."""
    return np.stack([log_axes[axis] for axis in EXPONENTS if axis in log_axes])
