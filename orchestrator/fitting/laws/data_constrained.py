"""The law of training on repeated data (Muennighoff et al. 2023, "Scaling data-constrained language models")."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.laws.chinchilla import Chinchilla
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.projection import bounded_exp, projected, two_term_starts
from orchestrator.fitting.solver.terms import Term

#: Saturation constants that starts are made from.
R_DATA: Final = (1.5, 5.0, 15.0, 50.0)
R_MODEL: Final = (1.0, 5.0, 50.0, 5000.0)
#: Exponents that further starts are made from, each with each.
PAIRS: Final = (0.08, 0.15, 0.3, 0.6, 1.2)
#: Rows repeat data from this many epochs on.
REPEATED: Final = 1.0 + 1e-6


class DataConstrained(AdditiveLaw):
    """L = E + A/N'^α + B/D'^β where repeated data, and parameters beyond what unique data can use, count for less.

    D' = U + U·R_D·(1 − e^(−(D/U − 1)/R_D)) for U unique out of D data seen; N' likewise from R_N and U_N, the smaller
    of N and the model size that is compute-optimal for U under this law, with U_N^α = (αA/βB)·U^β (equations 5 to 7
    and 10 of the paper, with α and β untied).
    """

    name = "data_constrained"
    required = ("n", "d", "unique_d")
    data_seen = True
    wanders = 6
    bounds = {"alpha": (0.01, 5.0), "beta": (0.01, 5.0)}  # noqa: RUF012

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E A B alpha beta R_D R_N``."""
        return (
            *Chinchilla().parameters(axes),
            Parameter("R_D", "saturation", ("d", "unique_d")),
            Parameter("R_N", "saturation", ("n", "unique_d")),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor, the model term and the data term, on effective N and D."""
        n, d, unique = log_axes["n"], log_axes["d"], log_axes["unique_d"]
        a, b, alpha, beta, log_r_d, log_r_n = (coords[:, k : k + 1] for k in range(1, 7))
        ones = np.ones((len(coords), n.size))

        data, _, d_r = _saturated(unique, d, log_r_d)
        term_d = Term(b - beta * data, (2, 4, 5), np.stack([ones, -data, -beta * d_r], axis=1))

        kappa = np.log(alpha) + a - np.log(beta) - b
        optimal = (kappa + beta * unique) / alpha
        base = np.minimum(optimal, n)
        model, d_base, d_r = _saturated(base, n, log_r_n)
        # A model no larger than the optimal one is not saturated: d_base is 0 there, and so is the rest.
        pull = -alpha * d_base
        slopes = [
            1.0 + pull / alpha,
            -pull / alpha,
            -model + pull * (1.0 / alpha - optimal) / alpha,
            pull * (unique - 1.0 / beta) / alpha,
            -alpha * d_r,
        ]
        term_n = Term(a - alpha * model, (1, 2, 3, 4, 6), np.stack([s * ones for s in slopes], axis=1))
        return Term(coords[:, :1] * ones, (0,), np.ones((1, 1, n.size))), term_n, term_d

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units; data seen and unique data share theirs."""
        return Chinchilla().shift(coords, log_units, log_loss_unit)

    def starts(self, sample: Sample) -> FloatArray:
        """Return exponent grids on the effective axes of several saturation constants."""
        n, d, unique = (sample.log_axes[k] for k in self.required)
        fresh = d - unique < np.log(2.0)
        plain = sample.part(fresh) if fresh.sum() >= 8 else sample
        base = two_term_starts(plain.log_axes["n"], plain.log_axes["d"], plain.log_loss, 1)[0]
        optimal = (np.log(base[3] / base[4]) + base[1] - base[2] + base[4] * unique) / base[3]
        found = []
        for r_d, r_n in product(np.log(R_DATA), np.log(R_MODEL)):
            model = _saturated(np.minimum(optimal, n), n, r_n)[0]
            data = _saturated(unique, d, r_d)[0]
            best = two_term_starts(model, data, sample.log_loss, 2)
            found.append(np.column_stack([best, np.full(2, r_d), np.full(2, r_n)]))
            found.append(self._of_exponents(sample, r_d, r_n))
        return np.concatenate(found)

    def _of_exponents(self, sample: Sample, r_d: float, r_n: float) -> FloatArray:
        """Return starts for pairs of exponents: factors on the plain axes, then again on the effective ones."""
        n, d, unique = (sample.log_axes[k] for k in self.required)
        pairs = np.array(list(product(PAIRS, PAIRS)))
        alpha, beta = pairs[:, :1], pairs[:, 1:]
        one = np.ones((len(pairs), n.size))
        logs, _ = projected(np.stack([one, bounded_exp(-alpha * n), bounded_exp(-beta * d)], axis=1), sample.log_loss)
        optimal = (np.log(alpha / beta) + logs[:, 1:2] - logs[:, 2:3] + beta * unique) / alpha
        model = _saturated(np.minimum(optimal, n), n, np.array(r_n))[0]
        data = _saturated(unique, d, np.array(r_d))[0]
        features = np.stack([one, bounded_exp(-alpha * model), bounded_exp(-beta * data)], axis=1)
        logs, misfit = projected(features, sample.log_loss)
        best = np.argsort(misfit, kind="stable")[:2]
        return np.column_stack([logs[best], pairs[best], np.full(2, r_d), np.full(2, r_n)])

    def obstacle(self, log_axes: LogAxes) -> str | None:
        """Ask for repeated data beside what every law needs."""
        if np.all(log_axes["d"] - log_axes["unique_d"] < np.log(REPEATED)):
            return "no row repeats its data; add cells with epochs above 1"
        return super().obstacle(log_axes)


def _saturated(base: FloatArray, total: FloatArray, log_r: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return log(base·(1 + R(1 − e^(−x/R)))) with x = total/base − 1, and its slopes by log base and log R.

    All arguments are logarithms and broadcast against each other.
    """
    r = np.exp(log_r)
    excess = np.expm1(np.clip(total - base, 0.0, 50.0))
    left = np.exp(-excess / r)
    grown = 1.0 + r * (1.0 - left)
    by_r = (r * (1.0 - left) - excess * left) / grown
    return base + np.log(grown), 1.0 - (excess + 1.0) * left / grown, by_r
