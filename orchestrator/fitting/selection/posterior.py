"""What a law leaves unknown of runs not made, and how much a further run would tell.

Near its solution a law is linear in its coordinates, and it is wrong by something smooth: a quadratic in the logarithms
of the axes. Both are a Bayesian linear model, whose variances are known before a run is made (Chaloner and Verdinelli
1995, section 2). A run's worth is what it takes off the mean variance of the targets: V-optimality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import AXES, FloatArray, law_axes, varies
from orchestrator.fitting.check import obstacle, used_axes
from orchestrator.fitting.law import Law
from orchestrator.fitting.sample import centred
from orchestrator.fitting.solver.search import best_coords
from orchestrator.spec.registries import LAWS

Rows = NDArray[np.intp]

#: Prior standard deviations of a law's exponents and of its other coordinates, logarithms of factors mostly.
EXPONENT_SD: Final = 0.3
FACTOR_SD: Final = 1.0
#: Size of the quadratic by which a law may be wrong, in log loss over half the range of an axis.
WRONG_SD: Final = 0.03
#: The same before any law could be fitted, beside a plane of this slope.
UNKNOWN_SD: Final = 0.3
#: Noise of a run's log loss at least, and before there are residuals.
LEAST_NOISE: Final = 0.003
FIRST_NOISE: Final = 0.02
#: Lowest logarithm at which slopes are taken of a coordinate that ran to minus infinity: a factor of zero.
LOWEST: Final = -30.0


@dataclass
class Belief:
    """A linear model of the log loss at some points.

    Parameters
    ----------
    features
        Shape (points, F).
    covariance
        Of the F weights, as what was measured leaves it.
    noise
        Variance of a measurement.
    predicted
        Log loss that the law predicts at the points, None where no law stands behind.
    """

    features: FloatArray
    covariance: FloatArray
    noise: float
    predicted: FloatArray | None = None

    @classmethod
    def of(
        cls,
        features: FloatArray,
        prior_sd: FloatArray,
        rows: Rows,
        noise_sd: float,
        predicted: FloatArray | None = None,
    ) -> Belief:
        """Return the belief after measuring at some rows, from independent weights of mean zero."""
        there = features[rows] / noise_sd
        scaled = there * prior_sd
        inner = np.linalg.inv(np.eye(prior_sd.size) + scaled.T @ scaled)
        return cls(features, prior_sd[:, None] * inner * prior_sd, noise_sd**2, predicted)

    def learn(self, point: int) -> None:
        """Take a point as measured."""
        x = self.features[point]
        along = self.covariance @ x
        self.covariance = self.covariance - np.outer(along, along) / (x @ along + self.noise)

    def variance(self, points: Rows) -> FloatArray:
        """Return the variance of the log loss at points, shape (points,)."""
        x = self.features[points]
        result: FloatArray = np.einsum("pf,fg,pg->p", x, self.covariance, x)
        return result

    def gains(self, points: Rows, targets: Rows) -> FloatArray:
        """Return the share of the targets' mean variance that measuring each of some points takes off."""
        there, x = self.features[targets], self.features[points]
        aims = there.T @ there / targets.size
        along = x @ self.covariance
        told = np.einsum("pf,fg,pg->p", along, aims, along)
        result: FloatArray = told / (np.einsum("pf,pf->p", along, x) + self.noise) / np.sum(aims * self.covariance)
        return result


def first_belief(columns: Mapping[str, FloatArray], rows: Rows) -> Belief:
    """Return what is believed before any law can be fitted: a plane in the logs of the axes, and a quadratic."""
    scaled = _scaled(columns)
    features = np.column_stack([np.ones(len(scaled)), scaled, _bends(scaled)])
    prior = np.full(features.shape[1], UNKNOWN_SD)
    prior[0] = 1.0
    prior[1 + scaled.shape[1] :] = WRONG_SD
    return Belief.of(features, prior, rows, FIRST_NOISE)


def belief_in(
    name: str, columns: Mapping[str, FloatArray], loss: FloatArray, rows: Rows, target: str = "loss"
) -> Belief | None:
    """Return what a law fitted to the measured rows leaves unknown, or None where they can't carry it.

    Parameters
    ----------
    name
        Registry name of the law.
    columns
        Axes of all points, shape (points,).
    loss
        Shape (points,); read at ``rows`` alone.
    rows
        The points that are measured.
    target
        What the loss is, or is one over: a law of a loss knows nothing of a quality.
    """
    law: Law = LAWS.load(name)()
    there = law_axes(columns, data_seen=law.data_seen)
    known = {axis: values[rows] for axis, values in there.items()}
    if not rows.size or obstacle(law, known, target) is not None:
        return None
    used = used_axes(law, known)
    sample, units = centred(used, loss[rows])
    coords = best_coords(law, sample)
    log_axes = {axis: np.log(there[axis]) - units.axes[axis] for axis in used}
    slopes = law.slopes(np.maximum(coords, LOWEST)[None], log_axes)[0].T
    predicted = law.log_loss(coords[None], log_axes)[0] + units.loss
    if not (np.isfinite(slopes).all() and np.isfinite(predicted).all()):
        return None
    bends = _bends(_scaled(columns))
    own = [EXPONENT_SD if p.role in ("exponent", "power") else FACTOR_SD for p in law.parameters(used)]
    prior = np.array([*own, *([WRONG_SD] * bends.shape[1])])
    residuals = np.log(loss[rows]) - predicted[rows]
    free = max(1, rows.size - len(own))
    noise = max(LEAST_NOISE, float(np.sqrt(np.sum(residuals**2) / free)) if rows.size > len(own) + 1 else FIRST_NOISE)
    return Belief.of(np.column_stack([slopes, bends]), prior, rows, noise, predicted)


def _scaled(columns: Mapping[str, FloatArray]) -> FloatArray:
    """Logs of the axes that vary, from -1 to 1 over all points; shape (points, axes)."""
    logs = [np.log(columns[axis]) for axis in AXES if axis in columns and varies(columns[axis])]
    return np.column_stack([2 * (x - x.min()) / (x.max() - x.min()) - 1 for x in logs])


def _bends(scaled: FloatArray) -> FloatArray:
    """Products of two scaled axes; shape (points, axes · (axes + 1) / 2)."""
    pairs = combinations_with_replacement(range(scaled.shape[1]), 2)
    return np.column_stack([scaled[:, i] * scaled[:, j] for i, j in pairs])
