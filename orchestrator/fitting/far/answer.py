"""The loss far beyond the rows, with an interval that grows with distance: rules S and G, and smoothed residuals.

Found by trial on published runs and rebuilt from its description; what each part is for stands in its module. Beside
rule G's Chinchilla law two further laws are weighed as exact: Kaplan's, and Kaplan's form above a floor of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.far.exact_law import ExactLaw, exact_laws
from orchestrator.fitting.far.floors import Floors, fit_floors
from orchestrator.fitting.far.form import Points
from orchestrator.fitting.far.misfit import LocalMisfit
from orchestrator.fitting.far.quantiles import over_ninety, student_quantile
from orchestrator.fitting.far.smoothing import Smoothed

#: Points that are fitted at most: the dearest of them, and others by chance.
MOST_POINTS: Final = 1500
#: Log loss above the lowest of one (n, d) at which a run of it counts half in their mean.
SAME_POINT_WIDTH: Final = 0.05
#: Probability from which a law is taken as proven.
PROVEN: Final = 0.999
#: A law's parameters may move a prediction by this much, over the floors' disagreement, before it is given up.
TRUST: Final = 9.0


@dataclass(frozen=True, slots=True)
class FarAnswer:
    """A loss by n and d, far beyond the rows.

    Parameters
    ----------
    floors
        Rule S.
    smoothed
        Its residuals.
    exact
        Laws that the rows may follow exactly, each with its share of the belief.
    rows, points
        Rows fitted, and distinct (n, d) among them.
    residual_rmse
        Of rule S on its own rows, in the log.
    misfit
        How far rows near a point are missed.
    log_cost
        Smallest and largest ln(n·d) of the rows.
    """

    floors: Floors
    smoothed: Smoothed
    exact: tuple[tuple[ExactLaw, float], ...]
    rows: int
    points: int
    residual_rmse: float
    misfit: LocalMisfit
    log_cost: tuple[float, float]

    def predict(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return ln L at columns ``n`` and ``d`` (data seen), shape (points,)."""
        return self._at(columns)[0]

    def trend(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return ln L without the smoothed residuals, whose bumps are no optimum."""
        mixed, _, laws, _ = self._at(columns)
        rest = 1.0 - sum((weight for _, _, weight in laws), np.zeros(mixed.size))
        found: FloatArray = mixed - rest * self.smoothed.at(Points.of(columns, self.floors.centre))
        return found

    def half_width(self, columns: Mapping[str, FloatArray], level: float = 0.9) -> FloatArray:
        """Return the half-width of an interval of ln L for a new run, shape (points,)."""
        _, size, laws, rule = self._at(columns)
        points = Points.of(columns, self.floors.centre)
        here = np.maximum(size, self.misfit.at(np.column_stack([points.x, points.z])))
        wide = over_ninety(level) * np.maximum(self.floors.widening * size, here)
        square, rest, between = np.zeros(size.size), np.ones(size.size), np.zeros(size.size)
        for (law, believed), (fitted, variance, weight) in zip(self.exact, laws, strict=True):
            quantile = student_quantile(level, max(1, law.rows - law.coords.size + 1))
            # Structure left in its residuals is the law's error, and grows with distance as that of its parameters.
            own = (variance + law.sigma**2) * (1.0 + 0.5 * law.structure)
            square += weight * quantile**2 * own
            rest -= weight
            odds = 1.0 / (1.0 + np.exp(-0.5 * np.clip(law.evidence, -300.0, 300.0)))
            open_ = 0.0 if believed >= PROVEN else odds * (1.0 - odds)
            between += np.maximum(weight * (1.0 - weight), open_) * np.minimum((fitted - rule) ** 2, TRUST * size**2)
        result: FloatArray = np.sqrt(square + np.maximum(rest, 0.0) * wide**2 + 4.0 * between)
        return result

    def disagreement(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return how far the floors disagree at points: D, in the log, shape (points,)."""
        return self.floors.predict(Points.of(columns, self.floors.centre))[1]

    def _at(
        self, columns: Mapping[str, FloatArray]
    ) -> tuple[FloatArray, FloatArray, list[tuple[FloatArray, FloatArray, FloatArray]], FloatArray]:
        points = Points.of(columns, self.floors.centre)
        rule, apart = self.floors.predict(points)
        rule = rule + self.smoothed.at(points)
        size = np.sqrt(apart**2 + self.floors.spread**2)
        mixed, rest, laws = np.zeros(rule.size), np.ones(rule.size), []
        for law, believed in self.exact:
            fitted, variance = law.predict(points)
            weight = believed / (1.0 + variance / (TRUST * np.maximum(size, 1e-9) ** 2))
            mixed, rest = mixed + weight * fitted, rest - weight
            laws.append((fitted, variance, weight))
        return mixed + rest * rule, size, laws, rule

    def facts(self) -> dict[str, Any]:
        """Return what the answer is made of, as a JSON-able dictionary."""
        floors = self.floors
        return {
            "floors": [
                {"floor": float(np.exp(e)) if e > -600 else 0.0, "weight": float(w)}
                for e, w in zip(floors.log_floor[:, 0], floors.weights, strict=True)
            ],
            "exact_laws": {law.form.name: believed for law, believed in self.exact},
            "residual_rmse_log": self.residual_rmse,
            "forward_rmse_log": floors.rolling_rmse,
            "forward_cuts": floors.cuts,
            "widening": floors.widening,
        }


def fit_far(columns: Mapping[str, FloatArray], loss: FloatArray) -> FarAnswer:
    """Fit the far answer.

    Parameters
    ----------
    columns
        ``n`` and ``d`` (data seen), each of shape (rows,).
    loss
        Shape (rows,).
    """
    log_n, log_d, log_loss = np.log(columns["n"]), np.log(columns["d"]), np.log(loss)
    n, d, y = _averaged(log_n, log_d, log_loss)
    chosen = _thinned(n + d)
    centre = float(n[chosen].mean()), float(d[chosen].mean())
    points = Points(n[chosen] - centre[0], d[chosen] - centre[1])
    known = y[chosen]
    floors = fit_floors(points, known, centre)
    fitted, _ = floors.predict(points)
    residuals = known - fitted
    smoothed = Smoothed.of(points, residuals)
    exact = exact_laws(points, known, fitted)
    left = Points(log_n - centre[0], log_d - centre[1])
    off = log_loss - floors.predict(left)[0] - smoothed.at(left)
    misfit = LocalMisfit.of(np.column_stack([left.x, left.z]), off)
    if n.size < log_n.size:
        floors = floors.with_spread(_spread(floors, log_n, log_d, log_loss))
    return FarAnswer(
        floors,
        smoothed,
        tuple(exact),
        log_loss.size,
        n.size,
        float(np.sqrt(np.mean(residuals**2))),
        misfit,
        (float((log_n + log_d).min()), float((log_n + log_d).max())),
    )


def _spread(floors: Floors, log_n: FloatArray, log_d: FloatArray, log_loss: FloatArray) -> float:
    """1.4826 · median |residual| of single rows, where the points are means over several."""
    fitted, _ = floors.predict(Points(log_n - floors.centre[0], log_d - floors.centre[1]))
    return max(floors.spread, 1.4826 * float(np.median(np.abs(fitted - log_loss))))


def _averaged(log_n: FloatArray, log_d: FloatArray, log_loss: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the distinct (n, d) with one log loss each; losses far above the lowest of a point count less."""
    pairs = np.round(np.column_stack([log_n, log_d]), 9)
    points, of = np.unique(pairs, axis=0, return_inverse=True)
    of = of.reshape(-1)
    if len(points) == log_n.size:
        return log_n, log_d, log_loss
    lowest = np.full(len(points), np.inf)
    np.minimum.at(lowest, of, log_loss)
    weight = 1.0 / (1.0 + ((log_loss - lowest[of]) / SAME_POINT_WIDTH) ** 2)
    mean: FloatArray = np.bincount(of, weight * log_loss) / np.bincount(of, weight)
    return points[:, 0].astype(np.float64), points[:, 1].astype(np.float64), mean


def _thinned(log_cost: FloatArray) -> NDArray[np.intp]:
    """Return which of very many points are fitted: half of them the dearest, half by chance."""
    if log_cost.size <= MOST_POINTS:
        return np.arange(log_cost.size)
    order = np.argsort(log_cost, kind="stable")
    half = MOST_POINTS // 2
    others = np.random.default_rng(0).choice(order[:-half], MOST_POINTS - half, replace=False)
    return np.sort(np.concatenate([order[-half:], others]))
