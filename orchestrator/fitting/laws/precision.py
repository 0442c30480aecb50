"""The law of precision (Kumar et al. 2024, "Scaling laws for precision", arXiv 2411.04330)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.laws.chinchilla import Chinchilla
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.linear import least_squares
from orchestrator.fitting.solver.projection import two_term_starts
from orchestrator.fitting.solver.terms import Term

#: Bits of a parameter that nothing was done to: ε = 1.
FULL_BITS: Final = 32.0
#: Starts: the fewest bits over γ_w, and over γ_P where the damage itself doesn't say.
EFFECTIVE: Final = (1.0, 3.0, 20.0)
DECAYS: Final = (2.0, 6.0)
#: Damage below this share of the loss is noise to start from.
LEAST_DAMAGE: Final = 1e-3
#: Uncompressed rows without which a model term, a data term and a floor can't be guessed.
FEWEST: Final = 6


class Precision(AdditiveLaw):
    """L = E + A/N'^α + B/D^β + C·D^γ_D/N'^γ_N·e^(−P/γ_P), D in total, with P = 32·ε bits a parameter.

    N' = N·(1 − e^(−P/γ_w)) are the parameters that count at P bits (equation 3 of the paper), and the last term is
    the damage of quantising after training (equation 2), which grows with the data that the model has seen.
    """

    name = "precision"
    required = ("n", "d", "eps")
    data_seen = True
    wanders = 8
    rugged = True

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E A B alpha beta C gamma_D gamma_N gamma_P gamma_w``."""
        return (
            *Chinchilla().parameters(axes),
            Parameter("C", "factor", ("n", "d", "eps")),
            Parameter("gamma_D", "power", ("d",)),
            Parameter("gamma_N", "power", ("n",)),
            Parameter("gamma_P", "saturation", ("eps",)),
            Parameter("gamma_w", "saturation", ("eps",)),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor, the model term, the data term and the damage."""
        n, d, bits = log_axes["n"], log_axes["d"], FULL_BITS * np.exp(log_axes["eps"])
        floor, a, b, alpha, beta, c, by_d, by_n, log_p, log_w = (coords[:, k : k + 1] for k in range(10))
        ones = np.ones((len(coords), n.size))
        model, d_w = effective_size(n, bits, log_w)
        decay = bits * np.exp(-log_p)
        return (
            Term(floor * ones, (0,), np.ones((1, 1, n.size))),
            Term(a - alpha * model, (1, 3, 9), np.stack([ones, -model, -alpha * d_w], axis=1)),
            Term(b - beta * d, (2, 4), np.stack([ones[0], -d])[None]),
            Term(
                c + by_d * d - by_n * model - decay,
                (5, 6, 7, 8, 9),
                np.stack([ones, d * ones, -model, decay, -by_n * d_w], axis=1),
            ),
        )

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units; γ_P and γ_w go with the unit of ε."""
        moved = coords.copy()
        moved[..., :5] = Chinchilla().shift(coords[..., :5], log_units, log_loss_unit)
        moved[..., 5] += log_loss_unit - coords[..., 6] * log_units["d"] + coords[..., 7] * log_units["n"]
        moved[..., 8:] += log_units["eps"]
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the law of the whole models beside what a few γ_w leave of the damage."""
        whole = least_compressed(sample)
        base = two_term_starts(whole.log_axes["n"], whole.log_axes["d"], whole.log_loss, 1)[0]
        n, d, bits = sample.log_axes["n"], sample.log_axes["d"], FULL_BITS * np.exp(sample.log_axes["eps"])
        found = []
        for log_w in np.log(bits.min() / np.array(EFFECTIVE)):
            model, _ = effective_size(n, bits, np.array(log_w))
            kept = np.exp(base[0]) + np.exp(base[1] - base[3] * model) + np.exp(base[2] - base[4] * d)
            damage = np.maximum(1.0 - kept * np.exp(-sample.log_loss), LEAST_DAMAGE)
            seen = np.where(damage > LEAST_DAMAGE, damage, 0.0)[None] ** 2
            log_damage = np.log(damage) + sample.log_loss
            design = np.column_stack([np.ones_like(d), d, -model, -bits])
            c, by_d, by_n, rate = least_squares(design, log_damage, seen)[0][0]
            if rate > 0:
                found.append([*base, c, by_d, by_n, -np.log(rate), log_w])
            for decay in DECAYS:
                log_p = np.log(bits.min() / decay)
                free = least_squares(design[:, :3], log_damage + bits * np.exp(-log_p), seen)[0][0]
                found.append([*base, *free, log_p, log_w])
        return np.array(found)


def least_compressed(sample: Sample) -> Sample:
    """Return the rows of the largest ε (1 where there are uncompressed rows), or all where those are too few."""
    eps = sample.log_axes["eps"]
    whole = eps > eps.max() - 1e-9
    return sample.part(whole) if np.count_nonzero(whole) >= FEWEST else sample


def effective_size(n: FloatArray, bits: FloatArray, log_w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log N' and its slope by log γ_w; arguments broadcast."""
    ratio = np.minimum(bits * np.exp(-log_w), 700.0)
    return n + np.log(-np.expm1(-ratio)), -ratio / np.expm1(ratio)
