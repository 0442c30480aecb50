"""The most probable coordinates of many small problems at once: Huber losses of log residuals, and Gaussian priors.

Levenberg–Marquardt on the reweighted squares, which bound the Huber loss from above, so that every step that is taken
lowers the objective. All problems share the rows; a row that a problem does not know has the weight 0 there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray, Mask

#: Coordinates (B, P) and which of the problems they belong to, to log losses (B, rows) and slopes (B, P, rows).
Model = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
STEPS: Final = 80
#: A problem has converged when a step lowers its objective by less than this share.
TOLERANCE: Final = 1e-10
LARGEST_DAMPING: Final = 1e8
LONGEST_STEP: Final = 2.0


@dataclass(frozen=True, slots=True)
class Modes:
    """What is minimised for each of B problems: Σ w·ρ(r/σ) + ½ Σ ((θ − centre)/width)², θ within a box.

    Parameters
    ----------
    model
        Log losses and slopes at coordinates, given the problems' ``constants``.
    constants
        Of each problem, shape (B, …); handed on to the model.
    log_loss
        Measured, shape (rows,).
    weights
        Shape (B, rows).
    sigma
        Noise of each problem, shape (B,).
    threshold
        In units of σ, beyond which ρ grows linearly.
    centre, precision
        Of the priors, shape (P,); precision 0 where there is none.
    lower, upper
        The box, shape (P,).
    """

    model: Model
    constants: FloatArray
    log_loss: FloatArray
    weights: FloatArray
    sigma: FloatArray
    threshold: float
    centre: FloatArray
    precision: FloatArray
    lower: FloatArray
    upper: FloatArray

    def take(self, which: Mask) -> Modes:
        """Return some of the problems."""
        return Modes(
            self.model,
            self.constants[which],
            self.log_loss,
            self.weights[which],
            self.sigma[which],
            self.threshold,
            self.centre,
            self.precision,
            self.lower,
            self.upper,
        )

    def expand(self, coords: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the objective (B,), its gradient (B, P) and the reweighted matrix (B, P, P)."""
        fitted, slopes = self.model(coords, self.constants)
        scaled = (fitted - self.log_loss) / self.sigma[:, None]
        size = np.abs(scaled)
        pull = self.threshold / np.maximum(size, self.threshold)
        off = coords - self.centre
        inside = np.minimum(size, self.threshold)
        objective = (self.weights * inside * (size - 0.5 * inside)).sum(1) + 0.5 * (off * off) @ self.precision
        force = self.weights * pull / self.sigma[:, None]
        gradient = np.matmul(slopes, (force * scaled)[:, :, None])[:, :, 0] + off * self.precision
        heavy = slopes * (force / self.sigma[:, None])[:, None]
        matrix = np.matmul(heavy, np.swapaxes(slopes, 1, 2)) + np.diag(self.precision)
        return objective, gradient, matrix


def minimise(problem: Modes, starts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return coordinates (B, P) and objectives (B,), never worse than the starts."""
    coords = np.clip(starts, problem.lower, problem.upper)
    found, score = coords.copy(), np.full(len(coords), np.inf)
    index, damping = np.arange(len(coords)), np.full(len(coords), 1e-2)
    here = problem.expand(coords)
    for _ in range(STEPS):
        step = _step(problem, coords, here, damping)
        trial = np.clip(coords + step, problem.lower, problem.upper)
        there = problem.expand(trial)
        better = there[0] < here[0]
        flat = np.abs(here[0] - there[0]) <= TOLERANCE * here[0] + 1e-14
        for mine, theirs in zip(here, there, strict=True):
            mine[better] = theirs[better]
        coords[better] = trial[better]
        damping = np.where(better, np.maximum(damping * 0.2, 1e-9), np.maximum(damping * 8.0, 1e-3))
        done = flat | (damping > LARGEST_DAMPING)
        if done.any():
            found[index[done]], score[index[done]] = coords[done], here[0][done]
            if done.all():
                return found, score
            going = ~done
            coords, index, damping = coords[going], index[going], damping[going]
            here, problem = (here[0][going], here[1][going], here[2][going]), problem.take(going)
    found[index], score[index] = coords, here[0]
    return found, score


def _step(
    problem: Modes, coords: FloatArray, here: tuple[FloatArray, FloatArray, FloatArray], damping: FloatArray
) -> FloatArray:
    _, gradient, matrix = here
    held = ((coords <= problem.lower) & (gradient > 0)) | ((coords >= problem.upper) & (gradient < 0))
    gradient, free = np.where(held, 0.0, gradient), (~held).astype(np.float64)
    matrix = matrix * free[:, :, None] * free[:, None, :]
    size = np.einsum("bii->bi", matrix)
    least = 1e-12 * size.max(axis=1, keepdims=True) + 1e-300
    eye = np.eye(coords.shape[1])
    matrix = matrix + eye * (np.where(held, 1.0, damping[:, None] * size + least))[:, :, None]
    step = -np.linalg.solve(matrix, gradient[:, :, None])[:, :, 0]
    longest = np.abs(step).max(axis=1, keepdims=True)
    result: FloatArray = step * np.minimum(1.0, LONGEST_STEP / np.maximum(longest, 1e-300))
    return result
