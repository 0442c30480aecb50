"""Rule S: one law over many floors, each with weak priors, weighed by honest forward errors.

No single law's floor can be told from rows far below it, and a Chinchilla law's comes out near 0.8 of the lowest loss,
which bends predictions up. So the floor is not fitted: eight shares of the lowest loss are, and how well each has
predicted dearer rows from cheaper ones says what it counts for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray, Mask
from orchestrator.fitting.far.form import CENTRE, Points, kaplan_starts, kaplan_with_floor
from orchestrator.fitting.far.posterior_mode import Modes, minimise
from orchestrator.fitting.far.row_weights import row_weights
from orchestrator.fitting.laws.chinchilla import Chinchilla
from orchestrator.fitting.sample import Sample

#: Floors, as shares of the lowest losses, and the quantile that stands for those.
FLOORS: Final = np.array([0.0, 0.25, 0.45, 0.60, 0.70, 0.78, 0.85, 0.91])
LOWEST: Final = 0.02
#: Widths of the priors on ln α, ln β, ln γ; their centres are `form.CENTRE`.
WIDTHS: Final = np.array([0.15, 0.15, 0.20])
#: All rows together count as this many: their errors are a law's, and hang together.
ROWS_IN_EFFECT: Final = 8.0
THRESHOLD: Final = 1.5
LEAST_SIGMA: Final = 0.002
MAD: Final = 1.4826
#: Cut-offs at most, rows before the first and behind the last.
CUTS: Final = 8
FIRST_ROWS: Final = 10
LAST_ROWS: Final = 3
#: Rows from which a Chinchilla law and its residuals can be had.
CHINCHILLA_ROWS: Final = 7
#: Starts and steps of that law: the size of residuals is wanted, not the last digit of a parameter.
SIGMA_STARTS: Final = 3
SIGMA_STEPS: Final = 30
#: Rows below which forward errors are too few to make an interval narrower.
FEW_ROWS: Final = 25
#: Power of the mean square error with which a floor's weight falls.
SHARPNESS: Final = 0.65
#: Mean squares of forward errors below this are rounding.
LEAST_SQUARE: Final = 1e-16

LOWER: Final = np.array([-60.0, -60.0, np.log(0.01), np.log(0.01), np.log(0.08)])
UPPER: Final = np.array([60.0, 60.0, np.log(3.0), np.log(3.0), np.log(3.0)])
_CENTRES: Final = np.concatenate([np.zeros(2), CENTRE])
_PRECISION: Final = np.concatenate([np.zeros(2), WIDTHS**-2.0])


@dataclass(frozen=True, slots=True)
class Floors:
    """Rule S on a table.

    Parameters
    ----------
    centre
        ln n and ln d of the point that coordinates refer to.
    log_floor, coords
        Of each floor, shapes (F, 1) and (F, 5).
    weights
        Of the floors, shape (F,), sum 1.
    spread
        1.4826 · median |residual| of the weighted mean.
    widening
        Q: the half-width of a 90 % interval over √(D² + s²).
    rolling_rmse
        Geometric mean over the cut-offs of the forward errors of the weighted mean; None without cut-offs.
    cuts
        How many cut-offs there were.
    matrices
        Of each floor, the curvature of what is minimised at its coordinates, shape (F, 5, 5).
    """

    centre: tuple[float, float]
    log_floor: FloatArray
    coords: FloatArray
    weights: FloatArray
    spread: float
    widening: float
    rolling_rmse: float | None
    cuts: int
    matrices: FloatArray

    def with_spread(self, spread: float) -> Floors:
        """Return the same with another spread of the rows."""
        return replace(self, spread=spread)

    def predict(self, points: Points) -> tuple[FloatArray, FloatArray]:
        """Return ln L and the floors' disagreement D, each of shape (points,)."""
        return mean_of(kaplan_with_floor(points)(self.coords, self.log_floor)[0], self.weights)


def mean_of(fitted: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean over floors of log losses (F, rows), and their spread about it."""
    mean = weights @ fitted
    return mean, np.sqrt(weights @ (fitted - mean) ** 2)


def fit_floors(points: Points, log_loss: FloatArray, centre: tuple[float, float]) -> Floors:
    """Fit rule S to all rows, with the floors weighed by forward errors.

    Parameters
    ----------
    points, log_loss
        The rows, of shape (rows,) each.
    centre
        What the points are centred on.
    """
    log_cost = points.x + points.z
    known = [np.ones(log_loss.size, dtype=bool), *cut_offs(log_cost)]
    log_floor, weights, sigma = _problems(points, log_loss, log_cost, known)
    problem = prior_problem(points, log_loss, log_floor, weights, sigma)
    coords, _ = minimise(problem, kaplan_starts(points, log_loss, weights, log_floor))
    count = FLOORS.size
    fitted = problem.model(coords, log_floor)[0].reshape(len(known), count, -1)
    scores = _scores(fitted[1:], log_loss, known[1:])
    of_floors = scores**-SHARPNESS / (scores**-SHARPNESS).sum()
    spread = MAD * float(np.median(np.abs(mean_of(fitted[0], of_floors)[0] - log_loss)))
    widening, rolling = _widening(fitted[1:], log_loss, known[1:], of_floors)
    first = np.arange(len(coords)) < count
    matrices = problem.take(first).expand(coords[:count])[2]
    return Floors(
        centre, log_floor[:count], coords[:count], of_floors, spread, widening, rolling, len(known) - 1, matrices
    )


def prior_problem(
    points: Points, log_loss: FloatArray, log_floor: FloatArray, weights: FloatArray, sigma: FloatArray
) -> Modes:
    """Return the problems of Kaplan's form above given floors (B, 1), under the priors."""
    model = kaplan_with_floor(points)
    return Modes(model, log_floor, log_loss, weights, sigma, THRESHOLD, _CENTRES, _PRECISION, LOWER, UPPER)


def cut_offs(log_cost: FloatArray) -> list[Mask]:
    """Return which rows are known at each cut-off, masks of shape (rows,): evenly in ln(n·d), cheapest first."""
    ordered, rows = np.sort(log_cost), log_cost.size
    first = max(FIRST_ROWS, rows // 2)
    if first > rows - LAST_ROWS:
        return []
    edges = np.linspace(ordered[first - 1], ordered[rows - LAST_ROWS - 1], CUTS)
    counts = np.unique(np.searchsorted(ordered, edges + 1e-9, side="right"))
    counts = counts[(counts >= min(first, FIRST_ROWS)) & (counts <= rows - LAST_ROWS)]
    return [log_cost <= ordered[count - 1] + 1e-9 for count in counts]


def chinchilla_sigma(points: Points, log_loss: FloatArray) -> float:
    """Return the noise of rows by the residuals of a Chinchilla law, shape-free and at least `LEAST_SIGMA`."""
    rows = log_loss.size
    sample = Sample({"n": points.x - points.x.mean(), "d": points.z - points.z.mean()}, log_loss - np.median(log_loss))
    law = Chinchilla()
    if rows < CHINCHILLA_ROWS or law.obstacle(sample.log_axes) is not None:
        return LEAST_SIGMA
    residuals = law.log_loss(law.solve(sample)[None], sample.log_axes)[0] - sample.log_loss
    return max(LEAST_SIGMA, MAD * float(np.median(np.abs(residuals))) * float(np.sqrt(rows / max(1, rows - 6))))


def _problems(
    points: Points, log_loss: FloatArray, log_cost: FloatArray, known: list[Mask]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ln E, weights and σ for each of the known parts times each floor."""
    log_floor, weights, sigma = [], [], []
    with np.errstate(divide="ignore"):
        shares = np.log(FLOORS)
    one = chinchilla_sigma(points, log_loss)
    for rows in known:
        row = np.zeros(log_loss.size)
        row[rows] = row_weights(log_cost[rows], log_loss[rows]) * min(1.0, ROWS_IN_EFFECT / rows.sum())
        log_floor.append(np.maximum(shares + np.log(np.quantile(np.exp(log_loss[rows]), LOWEST)), -700.0))
        weights.append(np.repeat(row[None], FLOORS.size, axis=0))
        sigma.append(np.full(FLOORS.size, one))
    return np.concatenate(log_floor)[:, None], np.concatenate(weights), np.concatenate(sigma)


def _scores(fitted: FloatArray, log_loss: FloatArray, known: list[Mask]) -> FloatArray:
    """Return the geometric mean over cut-offs of each floor's mean square forward error, shape (F,)."""
    if not known:
        return np.ones(FLOORS.size)
    squares = [((at - log_loss)[:, ~rows] ** 2).mean(axis=1) for at, rows in zip(fitted, known, strict=True)]
    found: FloatArray = np.exp(np.mean(np.log(np.maximum(squares, LEAST_SQUARE)), axis=0))
    return found


def _widening(
    fitted: FloatArray, log_loss: FloatArray, known: list[Mask], weights: FloatArray
) -> tuple[float, float | None]:
    """Return Q and the geometric mean of the forward errors; Q is 1.2 where there is no cut-off."""
    logs, rolling = [np.log(1.2)] * 2, []
    for at, rows in zip(fitted, known, strict=True):
        mean, apart = mean_of(at, weights)
        spread = MAD * np.median(np.abs((mean - log_loss)[rows]))
        errors = np.abs(mean - log_loss)[~rows]
        size = np.sqrt(apart[~rows] ** 2 + spread**2)
        logs.append(np.log(max(np.quantile(errors / np.maximum(size, 1e-9), 0.9), 1e-6)))
        rolling.append(0.5 * np.log(max(np.mean(errors**2), LEAST_SQUARE)))
    widening = float(np.exp(np.mean(logs)))
    if log_loss.size < FEW_ROWS:
        widening = max(1.0, widening)
    return widening, float(np.exp(np.mean(rolling))) if rolling else None
