"""The law of pretraining and fine-tuning data together (after Hernandez et al. 2021, "Scaling laws for transfer")."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.laws.chinchilla import Chinchilla
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.projection import two_term_starts
from orchestrator.fitting.solver.terms import Term

#: Starts: logarithms of k where both kinds of data have mean 1, and exponent pairs for each.
WORTHS: Final = (-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0)
PAIRS: Final = 2


class Transfer(AdditiveLaw):
    """L = E + A/N^α + B/(D + k·d·e)^β with D pretraining data in total, and fine-tuning data d for e epochs.

    k says how much of the pretraining data a unit of fine-tuning data is worth (the paper's effective data, with the
    pretraining as the unit).
    """

    name = "transfer"
    required = ("n", "d", "ft_d")
    optional = ("ft_e",)
    data_seen = True

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E A B alpha beta k``."""
        return (*Chinchilla().parameters(axes), Parameter("k", "factor", ("d", "ft_d")))

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor, the model term and the term of both kinds of data."""
        floor, model, _ = Chinchilla().terms(coords, log_axes)
        tuned = coords[:, 5:6] + _seen(log_axes)
        both = np.logaddexp(log_axes["d"], tuned)
        beta, ones = coords[:, 4:5], np.ones_like(both)
        slopes = np.stack([ones, -both, -beta * np.exp(tuned - both)], axis=1)
        return floor, model, Term(coords[:, 2:3] - beta * both, (2, 4, 5), slopes)

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units; k goes with both kinds of data."""
        moved = coords.copy()
        moved[..., :5] = Chinchilla().shift(coords[..., :5], log_units, log_loss_unit)
        moved[..., 5] += log_units["d"] - log_units["ft_d"] - log_units.get("ft_e", 0.0)
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return exponent grids on the data together, for several k."""
        n, d, tuned = sample.log_axes["n"], sample.log_axes["d"], _seen(sample.log_axes)
        found = []
        for worth in WORTHS:
            best = two_term_starts(n, np.logaddexp(d, worth + tuned), sample.log_loss, PAIRS)
            found.append(np.column_stack([best, np.full(PAIRS, worth)]))
        return np.concatenate(found)


def _seen(log_axes: LogAxes) -> FloatArray:
    """Fine-tuning data in total, as a logarithm."""
    seen: FloatArray = log_axes["ft_d"] + log_axes.get("ft_e", 0.0)
    return seen
