"""A saturating law whose data exponent and factor vary with N, as large public grids of N × D show."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.projection import two_term_starts
from orchestrator.fitting.solver.terms import Term

STARTS: Final = 8
#: Changes of the data exponent with log N to start from.
BENDS: Final = (-0.03, 0.0, 0.03)


class NDependent(AdditiveLaw):
    """L = E + A/N^α + B·N^b_N/D^(β + β_N·ln N), D in total: a product of powers in the logarithms' plane.

    With b_N = β_N = 0 it is `chinchilla`. β is the exponent at N = 1, far from any model; read β + β_N·ln N.
    """

    name = "n_dependent"
    required = ("n", "d")
    data_seen = True
    wanders = 8

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E A B alpha beta b_N beta_N``."""
        return (
            Parameter("E", "floor"),
            Parameter("A", "factor", ("n",)),
            Parameter("B", "factor", ("n", "d")),
            Parameter("alpha", "exponent", ("n",)),
            Parameter("beta", "power", ("d", "n")),
            Parameter("b_N", "power", ("n",)),
            Parameter("beta_N", "power", ("n", "d")),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor, the model term and the data term."""
        n, d = log_axes["n"], log_axes["d"]
        floor, a, b, alpha, beta, b_n, beta_n = (coords[:, k : k + 1] for k in range(7))
        one = np.ones_like(n)
        return (
            Term(floor * one, (0,), one[None, None]),
            Term(a - alpha * n, (1, 3), np.stack([one, -n])[None]),
            Term(b + b_n * n - (beta + beta_n * n) * d, (2, 4, 5, 6), np.stack([one, -d, n, -n * d])[None]),
        )

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        moved, (n, d) = coords.copy(), (log_units["n"], log_units["d"])
        moved[..., :3] += log_loss_unit
        moved[..., 1] += coords[..., 3] * n
        moved[..., 4] -= coords[..., 6] * n
        moved[..., 2] += moved[..., 4] * d - coords[..., 5] * n
        moved[..., 5] += coords[..., 6] * d
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the starts of `chinchilla`, bent a little."""
        base = two_term_starts(sample.log_axes["n"], sample.log_axes["d"], sample.log_loss, STARTS)
        return np.concatenate([np.column_stack([base, np.zeros(STARTS), np.full(STARTS, bend)]) for bend in BENDS])
