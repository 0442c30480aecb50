"""Kaplan's law above an irreducible loss: the form between Kaplan et al. (2020) and Hoffmann et al. (2022)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.projection import bounded_exp, nonnegative_relative, two_term_starts
from orchestrator.fitting.solver.terms import Term

#: Starts: floors as shares of the lowest losses, γ, and α = β.
FLOORS: Final = (0.02, 0.4, 0.7, 0.9)
GAMMAS: Final = (0.15, 0.4, 0.8)
EXPONENTS: Final = (0.12, 0.25, 0.45)
#: Factors that the projection sets to zero start here.
SMALLEST_START: Final = 1e-4


class KaplanFloor(AdditiveLaw):
    """L = E + ((N_c/N)^(α/γ) + (D_c/D)^(β/γ))^γ, D in total.

    With γ = 1 it is Chinchilla's law, with E = 0 and γ = β Kaplan's (equation 1.5); free fits to real tables give γ of
    0.2 to 0.6. Held over many floors with weak priors it is the far law (`orchestrator.fitting.far`).
    """

    name = "kaplan_floor"
    required = ("n", "d")
    data_seen = True
    polished = 8
    bounds = {"alpha": (0.003, 5.0), "beta": (0.003, 5.0), "gamma": (np.log(0.02), np.log(4.0))}  # noqa: RUF012

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E N_c D_c alpha beta gamma``."""
        return (
            Parameter("E", "floor"),
            Parameter("N_c", "factor", ("n",)),
            Parameter("D_c", "factor", ("d",)),
            Parameter("alpha", "exponent", ("n",)),
            Parameter("beta", "exponent", ("d",)),
            Parameter("gamma", "saturation", ("n", "d")),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor and the power of both terms."""
        floor, n_c, d_c, alpha, beta, log_gamma = (coords[:, k : k + 1] for k in range(6))
        gamma = np.exp(log_gamma)
        short_n, short_d = n_c - log_axes["n"], d_c - log_axes["d"]
        u, v = alpha * short_n / gamma, beta * short_d / gamma
        both = np.logaddexp(u, v)
        of_n = np.exp(u - both)
        of_d = 1.0 - of_n
        ones = np.ones((len(coords), log_axes["n"].size))
        entropy = gamma * (both - of_n * u - of_d * v)
        slopes = [alpha * of_n, beta * of_d, of_n * short_n, of_d * short_d, entropy]
        return (
            Term(floor * ones, (0,), ones[None, :1]),
            Term(gamma * both, (1, 2, 3, 4, 5), np.stack(slopes, axis=1)),
        )

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        moved = coords.copy()
        moved[..., 0] += log_loss_unit
        moved[..., 1] += log_units["n"] + log_loss_unit / coords[..., 3]
        moved[..., 2] += log_units["d"] + log_loss_unit / coords[..., 4]
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return starts over floors, γ and exponents; given those, (L − E)^(1/γ) is linear in two factors."""
        n, d, loss = sample.log_axes["n"], sample.log_axes["d"], np.exp(sample.log_loss)
        lowest = float(np.quantile(loss, 0.02))
        found = []
        for share in FLOORS:
            above = np.log(np.maximum(loss - share * lowest, 1e-3 * loss))
            for gamma in GAMMAS:
                exponents = np.array(EXPONENTS)
                features = np.stack([bounded_exp(-exponents[:, None] / gamma * x) for x in (n, d)], axis=1)
                factors = nonnegative_relative(features, above / gamma)
                logs = gamma * np.log(np.maximum(factors, SMALLEST_START * np.exp(above.mean() / gamma)))
                fixed = [np.full(exponents.size, np.log(share * lowest)), np.full(exponents.size, np.log(gamma))]
                found.append(np.column_stack([fixed[0], logs / exponents[:, None], exponents, exponents, fixed[1]]))
        plain = two_term_starts(n, d, sample.log_loss, 2)
        chinchilla = np.column_stack([plain[:, 0], plain[:, 1:3] / plain[:, 3:5], plain[:, 3:5], np.zeros(len(plain))])
        return np.concatenate([*found, chinchilla])
