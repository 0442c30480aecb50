"""One saturating law over several groups of runs: exponents in common, floor and factors of each group's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.projection import two_term_grid
from orchestrator.fitting.solver.terms import Term

#: Axis that holds each row's group, counted from 0; not a logarithm, and without a unit.
GROUP: Final = "group"
STARTS: Final = 8


class GroupedChinchilla(AdditiveLaw):
    """L = E_g + A_g/N^α + B_g/D^β, D in total, for the groups g.

    Parameters
    ----------
    count
        Number of groups G; the 2 + 3·G coordinates are α, β, then E, A and B of every group.
    """

    name = "grouped_chinchilla"
    required = ("n", "d")
    data_seen = True

    def __init__(self, count: int) -> None:
        self.count = count

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return ``alpha beta``, then ``E.0 A.0 B.0 E.1 …``."""
        found = [Parameter("alpha", "exponent", ("n",)), Parameter("beta", "exponent", ("d",))]
        for g in range(self.count):
            found.append(Parameter(f"E.{g}", "floor"))
            found += [Parameter(f"{letter}.{g}", "factor", (axis,)) for letter, axis in (("A", "n"), ("B", "d"))]
        return tuple(found)

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the floors, the model terms and the data terms."""
        group = log_axes[GROUP].astype(np.intp)
        mine = (group == np.arange(self.count)[:, None]).astype(np.float64)
        found = []
        for offset, exponent, x in ((0, None, None), (1, 0, log_axes["n"]), (2, 1, log_axes["d"])):
            slots = tuple(2 + 3 * g + offset for g in range(self.count))
            value = coords[:, np.array(slots)[group]]
            slopes = mine
            if exponent is not None and x is not None:
                value = value - coords[:, exponent : exponent + 1] * x
                slots, slopes = (*slots, exponent), np.concatenate([mine, -x[None]])
            found.append(Term(value, slots, slopes[None]))
        return found

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates in other units."""
        moved = coords.copy()
        moved[..., 2:] += log_loss_unit
        moved[..., 3::3] += coords[..., 0:1] * log_units["n"]
        moved[..., 4::3] += coords[..., 1:2] * log_units["d"]
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        """Return the best points of an exponent grid, on each of which every group is a small problem of its own."""
        parts = [sample.part(sample.log_axes[GROUP] == g) for g in range(self.count)]
        grids = [two_term_grid(part.log_axes["n"], part.log_axes["d"], part.log_loss) for part in parts]
        coords = np.hstack([grids[0][0], *(logs for _, logs, _ in grids)])
        misfit = np.sum([of_group for _, _, of_group in grids], axis=0)
        return coords[np.argsort(misfit, kind="stable")[:STARTS]]
