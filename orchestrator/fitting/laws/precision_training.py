"""The law of training in low precision alone (Kumar et al. 2024, "Scaling laws for precision", equation 3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.laws.chinchilla import Chinchilla
from orchestrator.fitting.laws.precision import FULL_BITS, effective_size, least_compressed
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.projection import two_term_starts
from orchestrator.fitting.solver.terms import Term

#: Bits to start from.
BITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)


class PrecisionTraining(AdditiveLaw):
    """L = E + A/N'^α + B/D^β with N' = N·(1 − e^(−P/γ_w)), P = 32·ε bits a parameter while it trains, D in total.

    For rows that were trained in their precision; `precision` adds the damage of quantising after training.
    """

    name = "precision_training"
    required = ("n", "d", "eps")
    data_seen = True
    wanders = 4

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E A B alpha beta gamma_w``."""
        return (*Chinchilla().parameters(axes), Parameter("gamma_w", "saturation", ("eps",)))

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor, the model term on effective parameters, and the data term."""
        n, d, bits = log_axes["n"], log_axes["d"], FULL_BITS * np.exp(log_axes["eps"])
        floor, _, data = Chinchilla().terms(coords, {"n": n, "d": d})
        a, alpha = coords[:, 1:2], coords[:, 3:4]
        model, by_w = effective_size(n, bits, coords[:, 5:6])
        ones = np.ones((len(coords), n.size))
        return floor, Term(a - alpha * model, (1, 3, 5), np.stack([ones, -model, -alpha * by_w], axis=1)), data

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units; bits go with those of ε."""
        moved = coords.copy()
        moved[..., :5] = Chinchilla().shift(coords[..., :5], log_units, log_loss_unit)
        moved[..., 5] += log_units["eps"]
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the fit to the least compressed rows, and to all, for several bits."""
        n, d, bits = sample.log_axes["n"], sample.log_axes["d"], FULL_BITS * np.exp(sample.log_axes["eps"])
        whole = least_compressed(sample)
        base = two_term_starts(whole.log_axes["n"], whole.log_axes["d"], whole.log_loss, 1)
        found = []
        for log_w in np.log(float(bits.min()) * np.array(BITS) / 4.0):
            model, _ = effective_size(n, bits, np.array(log_w))
            pair = np.concatenate([base, two_term_starts(model, d, sample.log_loss, 1)])
            found.append(np.column_stack([pair, np.full(len(pair), log_w)]))
        return np.concatenate(found)
