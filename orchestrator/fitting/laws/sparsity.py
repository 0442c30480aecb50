"""The law of sparse models (Frantar et al. 2023, "Scaling laws for sparsely-connected foundation models")."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.laws.precision import least_compressed
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.projection import bounded_exp, projected, two_term_starts
from orchestrator.fitting.solver.terms import Term

#: Powers of the density to start from; pruning after training costs far more than the paper's 0.7 of pruning within it.
POWERS: Final = (-6.0, -3.0, -1.5, -0.5, 0.7, 2.0)
#: Pairs of exponents of N and D that each power is tried with.
PAIRS: Final = 3
#: Factors that the projection sets to zero start here, as a share of the loss.
SMALLEST_START: Final = 1e-3


class Sparsity(AdditiveLaw):
    """L = E + (a_S·ε^b_S + c_S)·(ε·N)^−α + B/D^β, D in total, for models of which the share ε is kept.

    Equation 2 of the paper with ε = 1 − S: N stands there for the parameters that are left, which are ε·N for our N.
    """

    name = "sparsity"
    required = ("n", "d", "eps")
    data_seen = True

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E a_S b_S c_S alpha B beta``."""
        return (
            Parameter("E", "floor"),
            Parameter("a_S", "factor", ("n", "eps")),
            Parameter("b_S", "power", ("eps",)),
            Parameter("c_S", "factor", ("n",)),
            Parameter("alpha", "exponent", ("n", "eps")),
            Parameter("B", "factor", ("d",)),
            Parameter("beta", "exponent", ("d",)),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor, the two terms of the sparse model and the data term."""
        left, d, eps = log_axes["n"] + log_axes["eps"], log_axes["d"], log_axes["eps"]
        floor, a, b, c, alpha, data, beta = (coords[:, k : k + 1] for k in range(7))
        one = np.ones_like(left)
        return (
            Term(floor * one, (0,), one[None, None]),
            Term(a + b * eps - alpha * left, (1, 2, 4), np.stack([one, eps, -left])[None]),
            Term(c - alpha * left, (3, 4), np.stack([one, -left])[None]),
            Term(data - beta * d, (5, 6), np.stack([one, -d])[None]),
        )

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        moved, model = coords.copy(), coords[..., 4] * (log_units["n"] + log_units["eps"])
        moved[..., [0, 1, 3, 5]] += log_loss_unit
        moved[..., 1] += model - coords[..., 2] * log_units["eps"]
        moved[..., 3] += model
        moved[..., 5] += coords[..., 6] * log_units["d"]
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the nonnegative solutions for a few exponents of the whole models and `POWERS` of the density."""
        whole = least_compressed(sample)
        n, d, eps = (sample.log_axes[axis] for axis in self.required)
        pairs = two_term_starts(whole.log_axes["n"], whole.log_axes["d"], whole.log_loss, PAIRS)[:, 3:]
        alpha, beta = (np.repeat(pairs[:, k : k + 1], len(POWERS), axis=0) for k in range(2))
        power = np.tile(POWERS, PAIRS)[:, None]
        model = bounded_exp(-alpha * (n + eps))
        features = np.stack(
            [np.ones_like(model), model * bounded_exp(power * eps), model, bounded_exp(-beta * d)], axis=1
        )
        e, a, c, b = projected(features, sample.log_loss, SMALLEST_START)[0].T
        return np.column_stack([e, a, power, c, alpha, b, beta])
