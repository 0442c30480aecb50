"""How noisy each row is: rows count for less where seeds disagree, or where the noise grows along the cost.

The weight of a row is 1/σ² under least squares and 1/σ under the Huber loss, whose threshold lies far within the noise
of a run, so that it is nearly the absolute value: both are the weights of maximum likelihood.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np

from orchestrator.fitting.axes import FloatArray, training_cost
from orchestrator.fitting.law import Law
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.search import best_coords

#: Every row alike; by the spread over seeds of one point; by the residuals' growth along n·d·e.
Noise = Literal["equal", "seeds", "heteroscedastic"]
NOISES: Final[tuple[Noise, ...]] = get_args(Noise)

#: Degrees of freedom with which the pooled spread stands beside a point's own: two or three seeds tell little.
POOLED_FREE: Final = 4.0
#: Log residuals below this are taken as this: equal seeds, or a row that the law hits.
LEAST: Final = 1e-5
#: The noise's power of the cost at most, and the largest ratio of a row's noise to the typical one.
STEEPEST: Final = 1.0
MOST_RATIO: Final = 10.0


def solved(law: Law, sample: Sample, noise: Noise) -> tuple[Sample, FloatArray, float]:
    """Return the sample with its rows weighted, the best coordinates (P,) on it, and the noise's power of the cost."""
    if noise == "seeds":
        sample = _weighted(law, sample, seed_noise(sample))
    coords = best_coords(law, sample)
    if noise != "heteroscedastic":
        return sample, coords, 0.0
    power = noise_power(sample.log_axes, sample.log_loss - law.log_loss(coords[None], sample.log_axes)[0], coords.size)
    if not power:
        return sample, coords, 0.0
    sample = _weighted(law, sample, cost_noise(sample.log_axes, power))
    return sample, best_coords(law, sample), power


def seed_noise(sample: Sample) -> FloatArray | None:
    """Return the rows' noise by the spread of the log loss over seeds, shape (rows,); None where no point is repeated.

    A point's variance is drawn toward the pooled one, which alone speaks for points with one seed.
    """
    points = np.round(np.column_stack(list(sample.log_axes.values())), 9)
    _, point, count = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    free = count - 1.0
    if not free.any():
        return None
    means = np.bincount(point, sample.log_loss) / count
    squares = np.bincount(point, (sample.log_loss - means[point]) ** 2)
    pooled = squares.sum() / free.sum()
    variance = np.maximum((POOLED_FREE * pooled + squares) / (POOLED_FREE + free), LEAST**2)
    noise: FloatArray = np.sqrt(variance)[point]
    return noise


def noise_power(log_axes: LogAxes, residuals: FloatArray, parameters: int) -> float:
    """Return p of noise ∝ (n·d·e)^p by regressing log |residual|; 0 where the rows are few or cost the same."""
    cost = _log_cost(log_axes)
    cost = cost - cost.mean()
    spread = float(cost @ cost)
    if residuals.size < 2 * parameters + 4 or spread < 1e-9:
        return 0.0
    slope = float(cost @ np.log(np.maximum(np.abs(residuals), LEAST))) / spread
    return float(np.clip(slope, -STEEPEST, STEEPEST))


def cost_noise(log_axes: LogAxes, power: float) -> FloatArray:
    """Return noise ∝ (n·d·e)^p at the rows, shape (rows,), 1 at their geometric mean."""
    cost = _log_cost(log_axes)
    noise: FloatArray = np.exp(power * (cost - cost.mean()))
    return noise


def _log_cost(log_axes: LogAxes) -> FloatArray:
    return np.log(training_cost({name: np.exp(values) for name, values in log_axes.items()}))


def _weighted(law: Law, sample: Sample, noise: FloatArray | None) -> Sample:
    if noise is None:
        return sample
    relative = np.clip(noise / np.exp(np.log(noise).mean()), 1 / MOST_RATIO, MOST_RATIO)
    weights = relative ** (-2.0 if law.least_squares else -1.0)
    return replace(sample, weights=weights / weights.mean())
