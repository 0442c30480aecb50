"""The smoothly broken power law (Caballero et al. 2022, "Broken neural scaling laws", equation 1) with one break."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.linear import least_squares
from orchestrator.fitting.solver.terms import Term

#: Starts: where the break lies among the rows, how wide it is in log D, and floors as shares of the lowest loss.
BREAKS: Final = (0.2, 0.4, 0.6, 0.8)
WIDTHS: Final = (0.2, 0.5, 1.2)
FLOORS: Final = np.array([0.0, 0.7, 0.95])


class Broken(AdditiveLaw):
    """L = E + C·N^−α·D^−β·(1 + (D/D_b)^(1/f))^(−c·f), D in total; N where it varies.

    Below the break at D_b the loss falls with D to the power β, above it with β + c; f is the width of the break in
    log D.
    """

    name = "broken"
    required = ("d",)
    optional = ("n",)
    data_seen = True
    polished = 12
    bounds = {"c": (-5.0, 5.0), "f": (np.log(0.1), np.log(3.0))}  # noqa: RUF012

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``E C beta D_b c f``, and ``alpha`` where N varies."""
        return (
            Parameter("E", "floor"),
            Parameter("C", "factor", tuple(axis for axis in ("n", "d") if axis in axes)),
            Parameter("beta", "exponent", ("d",)),
            Parameter("D_b", "factor", ("d",)),
            Parameter("c", "power", ("d",)),
            Parameter("f", "saturation", ("d",)),
            *([Parameter("alpha", "exponent", ("n",))] if "n" in axes else []),
        )

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floor and the broken power."""
        d = log_axes["d"]
        floor, factor, beta, at, bend, log_f = (coords[:, k : k + 1] for k in range(6))
        width = np.exp(log_f)
        ones = np.ones((len(coords), d.size))
        beyond = (d - at) / width
        soft, past = np.logaddexp(0.0, beyond), 1.0 / (1.0 + np.exp(-np.clip(beyond, -700.0, 700.0)))
        value = factor - beta * d - bend * width * soft
        widening = -width * (soft - past * beyond)
        slopes = [ones, -d * ones, bend * past, -width * soft, bend * widening]
        slots: tuple[int, ...] = (1, 2, 3, 4, 5)
        turn = past * (1.0 - past)
        bends = {
            (2, 2): -bend * turn / width,
            (2, 3): past,
            (2, 4): -bend * turn * beyond,
            (3, 4): widening,
            (4, 4): bend * (widening - width * turn * beyond * beyond),
        }
        if "n" in log_axes:
            value, slots = value - coords[:, 6:7] * log_axes["n"], (*slots, 6)
            slopes.append(-log_axes["n"] * ones)
        return Term(floor * ones, (0,), ones[None, :1]), Term(value, slots, np.stack(slopes, axis=1), bends)

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        moved = coords.copy()
        moved[..., :2] += log_loss_unit
        moved[..., 1] += coords[..., 2] * log_units["d"]
        moved[..., 3] += log_units["d"]
        if "n" in log_units:
            moved[..., 1] += coords[..., 6] * log_units["n"]
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return log-linear solutions above several floors, for breaks here and there."""
        d, loss = sample.log_axes["d"], np.exp(sample.log_loss)
        floors = FLOORS * np.quantile(loss, 0.01)
        above = np.maximum(loss - floors[:, None], 1e-3 * loss)
        others = [-sample.log_axes["n"]] if "n" in sample.log_axes else []
        found = []
        for at, width in product(np.quantile(d, BREAKS), WIDTHS):
            bent = -width * np.logaddexp(0.0, (d - at) / width)
            design = np.column_stack([np.ones_like(d), -d, bent, *others])
            solved, _ = least_squares(design, np.log(above), (above / loss) ** 2)
            log_floors = np.log(np.maximum(floors, 1e-2))
            fixed = np.column_stack([np.full(len(floors), at), solved[:, 2], np.full(len(floors), np.log(width))])
            found.append(np.column_stack([log_floors, solved[:, :2], fixed, solved[:, 3:]]))
        return np.concatenate(found)
