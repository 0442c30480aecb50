"""Cells that tell most about the targets before any loss is known: V-optimal on draws from the far law's prior.

What a law doesn't know of a run far out hangs together with what it doesn't know of the runs that may be made. Draws of
`kaplan_floor` from its priors give that covariance; beside it stand a level that nobody knows and a smooth error that
every law has. Planned so, dear runs with the split of the targets are preferred to many cheap ones, which bias a law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray, law_axes, varies
from orchestrator.fitting.far.floors import FLOORS

#: Draws, and the priors' centres and widths of ln α, ln β, ln γ, and of ln(d/n) at the best split.
DRAWS: Final = 300
EXPONENT: Final = (float(np.log(0.28)), 0.25)
POWER: Final = (float(np.log(0.45)), 0.30)
SPLIT_WIDTH: Final = 1.0
#: The level nobody knows, what every law has wrong and over which length in log units, and the noise of a run.
LEVEL: Final = 0.3
WRONG: Final = 0.02
LENGTH: Final = 2.0
NOISE: Final = 0.003
#: Power of the cost by which a gain is divided: 1 buys many cheap runs, 0 few dear ones.
COST_POWER: Final = 0.25
#: Points whose covariance is held.
MOST_POINTS: Final = 4_000

Rows = NDArray[np.intp]


@dataclass
class PriorPlan:
    """The covariance of ln L over all points, which shrinks as runs are planned."""

    covariance: FloatArray

    @classmethod
    def of(cls, columns: Mapping[str, FloatArray], relevant: Rows) -> PriorPlan | None:
        """Return the plan of points, shape (points,) each; None where n and d don't tell them apart, or they are many.

        Parameters
        ----------
        relevant
            Candidates and targets, whose median split is where the priors look for the best one.
        """
        if not {"n", "d"} <= set(columns) or not (varies(columns["n"]) or varies(columns["d"])):
            return None
        axes = law_axes(columns, data_seen=True)
        x, z = np.log(axes["n"]), np.log(axes["d"])
        if x.size > MOST_POINTS:
            return None
        losses = _drawn(x, z, relevant)
        off = losses - losses.mean(axis=0)
        others = [np.log(values) for name, values in columns.items() if name not in ("n", "d") and varies(values)]
        square = sum((v[:, None] - v) ** 2 for v in (x, z, *others))
        covariance = off.T @ off / len(off) + LEVEL**2 + WRONG**2 * np.exp(-0.5 / LENGTH**2 * square)
        return cls(covariance)

    def gains(self, points: Rows, targets: Rows) -> FloatArray:
        """Return the variance that each point takes off the targets, summed, as a share of what is there."""
        shared = self.covariance[np.ix_(points, targets)]
        taken = (shared**2).sum(axis=1) / (self.covariance[points, points] + NOISE**2)
        found: FloatArray = taken / max(float(self.covariance[targets, targets].sum()), 1e-300)
        return found

    def learn(self, point: int) -> None:
        """Take a run as made."""
        column = self.covariance[:, point].copy()
        self.covariance -= np.outer(column, column) / (column[point] + NOISE**2)

    def variance(self, targets: Rows) -> FloatArray:
        """Return what is not known of the targets, shape (targets,)."""
        found: FloatArray = np.maximum(self.covariance[targets, targets], 0.0)
        return found


def _drawn(x: FloatArray, z: FloatArray, relevant: Rows) -> FloatArray:
    """Return ln L of the points by draws of the law, shape (draws, points)."""
    random = np.random.default_rng(0)
    middle, split = float((x + z)[relevant].mean()), float(np.median((z - x)[relevant]))
    found = np.empty((DRAWS, x.size))
    for k in range(DRAWS):
        floor = float(random.choice(FLOORS))
        alpha, beta = np.exp(random.normal(*EXPONENT, 2))
        gamma = float(np.exp(random.normal(*POWER)))
        ridge = random.normal(split, SPLIT_WIDTH)
        share = beta / (alpha + beta)
        apart = gamma * np.log(share / (1.0 - share))
        at_x, at_z = (middle - ridge) / 2, (middle + ridge) / 2
        u, v = apart - alpha * (x - at_x), -beta * (z - at_z)
        power = gamma * np.logaddexp(u / gamma, v / gamma)
        power += np.log(1.0 - floor) - power.min()
        found[k] = np.logaddexp(np.log(max(floor, 1e-300)), power)
    return found
