"""The law of compute-optimal training (Hoffmann et al. 2022, approach 3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.projection import two_term_starts
from orchestrator.fitting.solver.terms import Term

STARTS = 12


class Chinchilla(AdditiveLaw):
    """L = E + A/N^α + B/D^β, D in total, by Huber(1e-3) on the log residual in log-sum-exp form.

    The objective and the optimum are those of Besiroglu et al. (2024), "Chinchilla scaling: a replication attempt".
    """

    name = "chinchilla"
    required = ("n", "d")
    data_seen = True

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E A B alpha beta``."""
        return (
            Parameter("E", "floor"),
            Parameter("A", "factor", ("n",)),
            Parameter("B", "factor", ("d",)),
            Parameter("alpha", "exponent", ("n",)),
            Parameter("beta", "exponent", ("d",)),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor, the model term and the data term."""
        n, d = log_axes["n"], log_axes["d"]
        one = np.ones_like(n)
        return (
            Term(coords[:, 0:1] * one, (0,), one[None, None]),
            Term(coords[:, 1:2] - coords[:, 3:4] * n, (1, 3), np.stack([one, -n])[None]),
            Term(coords[:, 2:3] - coords[:, 4:5] * d, (2, 4), np.stack([one, -d])[None]),
        )

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        moved = coords.copy()
        moved[..., :3] += log_loss_unit
        moved[..., 1] += coords[..., 3] * log_units["n"]
        moved[..., 2] += coords[..., 4] * log_units["d"]
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the best points of an exponent grid."""
        return two_term_starts(sample.log_axes["n"], sample.log_axes["d"], sample.log_loss, STARTS)
