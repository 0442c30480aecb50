"""The first law of language models in N and D (Kaplan et al. 2020, "Scaling laws for neural language models")."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.huber import huber
from orchestrator.fitting.solver.projection import bounded_exp, nonnegative_relative
from orchestrator.fitting.solver.terms import Term

#: Exponents tried on each axis, and how many pairs go on to Newton.
EXPONENTS: Final = np.geomspace(0.02, 2.0, 12)
STARTS: Final = 12
#: Factors that the projection sets to zero start here.
SMALLEST_START: Final = 1e-6


class Kaplan(AdditiveLaw):
    """L = ((N_c/N)^(α_N/α_D) + D_c/D)^α_D, D in total (equation 1.5): no irreducible loss."""

    name = "kaplan"
    required = ("n", "d")
    data_seen = True
    bounds = {"alpha_N": (0.003, 5.0), "alpha_D": (0.003, 5.0)}  # noqa: RUF012

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``N_c D_c alpha_N alpha_D``."""
        return (
            Parameter("N_c", "factor", ("n",)),
            Parameter("D_c", "factor", ("d",)),
            Parameter("alpha_N", "exponent", ("n",)),
            Parameter("alpha_D", "exponent", ("d",)),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the only term, log L itself."""
        n_c, d_c, alpha_n, alpha_d = (coords[:, k : k + 1] for k in range(4))
        short = n_c - log_axes["n"]
        model, data = alpha_n / alpha_d * short, d_c - log_axes["d"]
        both = np.logaddexp(model, data)
        of_model = np.exp(model - both)
        slopes = [alpha_n * of_model, alpha_d * (1.0 - of_model), of_model * short, both - of_model * model]
        return (Term(alpha_d * both, (0, 1, 2, 3), np.stack(slopes, axis=1)),)

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        moved = coords.copy()
        moved[..., 0] += log_units["n"] + log_loss_unit / coords[..., 2]
        moved[..., 1] += log_units["d"] + log_loss_unit / coords[..., 3]
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the best points of an exponent grid; given the exponents, L^(1/α_D) is linear in two factors."""
        found = []
        for alpha_d in EXPONENTS:
            model = bounded_exp(-EXPONENTS[:, None] / alpha_d * sample.log_axes["n"])
            data = np.broadcast_to(np.exp(-sample.log_axes["d"]), model.shape)
            factors = nonnegative_relative(np.stack([model, data], axis=1), sample.log_loss / alpha_d)
            logs = np.log(np.maximum(factors, SMALLEST_START))
            n_c = logs[:, 0] * alpha_d / EXPONENTS
            found.append(np.column_stack([n_c, logs[:, 1], EXPONENTS, np.full(len(EXPONENTS), alpha_d)]))
        grid = np.concatenate(found)
        misfit = huber(self.log_loss(grid, sample.log_axes) - sample.log_loss).sum(axis=1)
        return grid[np.argsort(misfit, kind="stable")[:STARTS]]
