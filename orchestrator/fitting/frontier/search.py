"""The lowest loss along a budget, for many parameter sets of a law at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray, law_axes
from orchestrator.fitting.frontier.budget import Budget
from orchestrator.fitting.law import Law
from orchestrator.fitting.result import LawFit
from orchestrator.spec.registries import LAWS

#: Grid along the budget, for laws that leave E to the cheapest choice and for laws that weigh D against E.
STEPS: Final = 513
STEPS_WITH_EPOCHS: Final = (129, 17)
#: Each pass looks at the part where the pass before found minima, but no closer than this in log N: nearer, rounding
#: of the loss tells more than the law.
PASSES: Final = 4
CLOSEST: Final = 0.02
#: Losses (draws x grid points) computed at a time.
BATCH: Final = 2_000_000
#: Axes that a budget does not buy.
HELD: Final = ("ft_d", "ft_e", "eps")


@dataclass(frozen=True, slots=True)
class Search:
    """A law's losses along a budget.

    Parameters
    ----------
    law, axes
        The law and the axes of its fit.
    budget
        With a cap on epochs, where the law needs one.
    fixed
        Values of axes that a budget does not buy.
    """

    law: Law
    axes: tuple[str, ...]
    budget: Budget
    fixed: Mapping[str, float]

    @classmethod
    def of(cls, fit: LawFit, budget: Budget, measured: Mapping[str, FloatArray]) -> Search:
        """Return the search of a fitted law."""
        law: Law = LAWS.load(fit.law)()
        capped = replace(budget, e_max=_most_epochs(law, fit, budget, measured))
        fixed = {axis: 1.0 if axis == "eps" else float(measured[axis].max()) for axis in fit.axes if axis in HELD}
        return cls(law, fit.axes, capped, fixed)

    def minima(self, params: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log N and the share of epochs, each (B,), for parameter values (B, P).

        Where the loss falls to an end of the budget, log N is infinite.
        """
        grid = STEPS_WITH_EPOCHS if "e" in self.axes else (STEPS, 1)
        count = max(1, BATCH // (grid[0] * grid[1]))
        parts = [self._narrowed(params[k : k + count], grid) for k in range(0, len(params), count)]
        return (
            np.concatenate([np.zeros(0), *(part[0] for part in parts)]),
            np.concatenate([np.zeros(0), *(part[1] for part in parts)]),
        )

    def _narrowed(self, params: FloatArray, grid: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        ends = [float(np.log(size)) for size in self.budget.sizes()]
        coords = self.law.to_coords(params, self.axes)
        log_n, share = np.linspace(ends[0], ends[1], grid[0]), np.linspace(0.0, 1.0, grid[1])
        found, shares = self._lowest(coords, log_n, share)
        open_ = np.where(found >= ends[1], np.inf, 0.0)
        if not self.budget.runs_out:
            open_ = np.where(found <= ends[0], -np.inf, open_)
        inside = np.isfinite(np.where(open_ == 0, found, open_))
        for _ in range(PASSES - 1):
            if not inside.any():
                break
            log_n, share = _around(found[inside], log_n, CLOSEST), _around(shares[inside], share, 0.0)
            found[inside], shares[inside] = self._lowest(coords[inside], log_n, share)
        return np.where(inside, found, open_), shares

    def _lowest(self, coords: FloatArray, log_n: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the grid's minimum, moved to the vertex of the parabola through it and its neighbours in log N."""
        sizes, shares = (g.ravel() for g in np.meshgrid(log_n, share, indexing="ij"))
        d, e = self.budget.split(sizes, shares)
        columns = {"n": np.exp(sizes), "d": d, "e": e}
        columns |= {axis: np.full(sizes.size, value) for axis, value in self.fixed.items()}
        axes = law_axes(columns, data_seen=self.law.data_seen)
        losses = self.law.log_loss(coords, {axis: np.log(axes[axis]) for axis in self.axes})
        losses = losses.reshape(len(coords), log_n.size, share.size)
        best = losses.min(axis=2)
        at, rows = best.argmin(axis=1), np.arange(len(coords))
        chosen = share[losses[rows, at].argmin(axis=1)]
        middle = np.clip(at, 1, log_n.size - 2)
        left, centre, right = (best[rows, middle + k] for k in (-1, 0, 1))
        bend = left - 2.0 * centre + right
        inner = (at == middle) & (bend > 0)
        move = np.where(inner, 0.5 * (left - right) / np.where(inner, bend, 1.0), 0.0)
        return log_n[at] + np.clip(move, -0.5, 0.5) * (log_n[1] - log_n[0]), chosen


def _around(found: FloatArray, grid: FloatArray, closest: float) -> FloatArray:
    """Return a grid of as many points over what was found and one step beside it, within the old grid."""
    step = max(grid[1] - grid[0], closest / 2) if grid.size > 1 else 0.0
    return np.linspace(max(found.min() - step, grid[0]), min(found.max() + step, grid[-1]), grid.size)


def _most_epochs(law: Law, fit: LawFit, budget: Budget, measured: Mapping[str, FloatArray]) -> float:
    """Return the cap on E: the caller's, else none for laws of data seen and the most epochs measured for others."""
    if law.data_seen:
        return budget.e_max
    if "e" not in fit.axes:
        return 1.0
    return max(1.0, float(measured["e"].max())) if np.isinf(budget.e_max) else budget.e_max
