"""Every axis with a term of its own, above one floor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import EXPONENTS, FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.linear import least_squares
from orchestrator.fitting.solver.projection import bounded_exp, projected
from orchestrator.fitting.solver.terms import Term

#: Starts: exponents of the product law, times these; a sum with a floor needs larger ones.
STRETCHES: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
#: Smallest exponent to start from.
SMALLEST_EXPONENT: Final = 0.02


class Additive(AdditiveLaw):
    """L = E + A_n/N^α + A_d/D^β + A_e/E^γ + A_ft_d/d^δ + A_ft_e/e^ζ + A_eps/ε^η on three or more axes that vary."""

    name = "additive"
    required = ()
    optional = tuple(EXPONENTS)
    fewest_axes = 3
    data_seen = False

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E``, then the factors, then the exponents."""
        used = [axis for axis in EXPONENTS if axis in axes]
        return (
            Parameter("E", "floor"),
            *(Parameter(f"A_{axis}", "factor", (axis,)) for axis in used),
            *(Parameter(EXPONENTS[axis], "exponent", (axis,)) for axis in used),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor and a term for each axis."""
        used = [log_axes[axis] for axis in EXPONENTS if axis in log_axes]
        one, count = np.ones_like(used[0]), len(used)
        powers = [
            Term(
                coords[:, k : k + 1] - coords[:, count + k : count + k + 1] * x,
                (k, count + k),
                np.stack([one, -x])[None],
            )
            for k, x in enumerate(used, 1)
        ]
        return Term(coords[:, :1] * one, (0,), one[None, None]), *powers

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        units = np.array([log_units[axis] for axis in EXPONENTS if axis in log_units])
        moved, count = coords.copy(), len(units)
        moved[..., : count + 1] += log_loss_unit
        moved[..., 1 : count + 1] += coords[..., count + 1 :] * units
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the nonnegative factors for exponents of the product law, stretched."""
        used = np.stack([sample.log_axes[axis] for axis in EXPONENTS if axis in sample.log_axes])
        design = np.column_stack([np.ones(sample.rows), -used.T])
        slopes = least_squares(design, sample.log_loss, np.ones((1, sample.rows)))[0][0, 1:]
        exponents = np.maximum(slopes, SMALLEST_EXPONENT) * np.array(STRETCHES)[:, None]
        powers = bounded_exp(-exponents[:, :, None] * used)
        features = np.concatenate([np.ones((len(STRETCHES), 1, sample.rows)), powers], axis=1)
        return np.column_stack([projected(features, sample.log_loss)[0], exponents])
