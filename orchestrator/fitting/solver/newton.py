"""A damped Newton method on the sum of Huber losses, for many starts or many weightings at once.

The step solves (H + λM) s = −g: H is the Hessian of the objective, M the matrix of iteratively reweighted least
squares, which bounds the Huber loss from above. λ → 0 is Newton, large λ a short reweighted Gauss-Newton step; each
problem keeps its own λ and leaves the batch when it has converged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray, Mask
from orchestrator.fitting.solver.huber import DELTA, huber
from orchestrator.fitting.solver.terms import Term, log_sum, log_sum_slopes

LONGEST_STEP = 2.0
LARGEST_DAMPING = 1e7
#: Rows of all problems together that are expanded at a time, to stay in a core's cache, and of one problem at least.
CACHED_ROWS = 16_000
LEAST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is minimised: Σ w · huber(log L − log_loss) over coordinates within a box, for one or many weightings.

    Parameters
    ----------
    terms
        Coordinates (B, P) to the law's log terms at a slice of the rows.
    log_loss
        Shape (rows,), or (B, rows).
    lower, upper
        Bounds of the coordinates, shape (P,), or (B, P) where each problem has its own.
    row_weights
        Shape (rows,); they multiply the weights of each problem.
    """

    terms: Callable[[FloatArray, slice], Sequence[Term]]
    log_loss: FloatArray
    lower: FloatArray
    upper: FloatArray
    row_weights: FloatArray | None = None

    def take(self, which: Mask | NDArray[np.intp]) -> Problem:
        """Return the problem of some of the B."""
        found = self if self.log_loss.ndim == 1 else replace(self, log_loss=self.log_loss[which])
        return found if self.lower.ndim == 1 else replace(found, lower=self.lower[which], upper=self.upper[which])

    def weighed(self, weights: FloatArray | None) -> FloatArray | None:
        """Return the product of weights (B, rows) and those of the rows; None where all are one."""
        if weights is None:
            return None if self.row_weights is None else self.row_weights[None]
        return weights if self.row_weights is None else weights * self.row_weights


@dataclass(slots=True)
class _Local:
    """Objective (B,), gradient (B, P), Hessian and reweighted matrix (B, P, P) at some coordinates."""

    objective: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    majorant: FloatArray

    def take(self, keep: Mask) -> _Local:
        return _Local(self.objective[keep], self.gradient[keep], self.hessian[keep], self.majorant[keep])

    def plus(self, other: _Local) -> _Local:
        return _Local(
            self.objective + other.objective,
            self.gradient + other.gradient,
            self.hessian + other.hessian,
            self.majorant + other.majorant,
        )

    def accept(self, other: _Local, where: Mask) -> None:
        for mine, theirs in (
            (self.objective, other.objective),
            (self.gradient, other.gradient),
            (self.hessian, other.hessian),
            (self.majorant, other.majorant),
        ):
            mine[where] = theirs[where]


def objectives(problem: Problem, coords: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Return the objective at coordinates (B, P), shape (B,); weights (B, rows) default to one."""
    fitted, weights = log_sum(problem.terms(coords, slice(None)))[0], problem.weighed(weights)
    losses = huber(fitted - problem.log_loss)
    result: FloatArray = (losses if weights is None else losses * weights).sum(axis=1)
    return result


def minimise(
    problem: Problem,
    starts: FloatArray,
    weights: FloatArray | None = None,
    *,
    tolerance: float = 1e-13,
    iterations: int = 200,
) -> tuple[FloatArray, FloatArray]:
    """Minimise from each start.

    Parameters
    ----------
    starts
        Shape (B, P).
    weights
        Row weights of each problem, shape (B, rows); one where not given.
    tolerance
        A problem has converged when the decrease that its model promises is below this share of its objective.
    iterations
        Steps at most.

    Returns
    -------
    coords, objective
        Shapes (B, P) and (B,); never worse than the start.
    """
    coords = np.clip(starts, problem.lower, problem.upper)
    final, score = coords.copy(), np.full(len(coords), np.inf)
    index, damping = np.arange(len(coords)), np.full(len(coords), 1e-2)
    local = _expand(problem, coords, weights)
    for _ in range(iterations):
        step, promised = _step(problem, coords, local, damping)
        trial = np.clip(coords + step, problem.lower, problem.upper)
        ahead = _expand(problem, trial, weights)
        better = ahead.objective < local.objective
        flat = promised <= tolerance * local.objective + 1e-20
        local.accept(ahead, better)
        coords[better] = trial[better]
        damping = np.where(better, np.maximum(damping * 0.15, 1e-9), np.maximum(damping * 8.0, 1e-4))
        done = (flat & (damping < 1.0)) | (damping > LARGEST_DAMPING)
        if done.any():
            final[index[done]], score[index[done]] = coords[done], local.objective[done]
            going = ~done
            if not going.any():
                return final, score
            coords, index, damping, local = coords[going], index[going], damping[going], local.take(going)
            weights, problem = None if weights is None else weights[going], problem.take(going)
    final[index], score[index] = coords, local.objective
    return final, score


def _expand(problem: Problem, coords: FloatArray, weights: FloatArray | None) -> _Local:
    """Objective, gradient, Hessian and reweighted matrix at coordinates (B, P), added up over slices of the rows."""
    rows, weights = problem.log_loss.shape[-1], problem.weighed(weights)
    step = max(LEAST_ROWS, CACHED_ROWS // len(coords))
    total = None
    for start in range(0, rows, step):
        part = slice(start, start + step)
        local = _expand_rows(problem, coords, part, None if weights is None else weights[:, part])
        total = local if total is None else total.plus(local)
    assert total is not None, "a sample has rows"
    return total


def _expand_rows(problem: Problem, coords: FloatArray, rows: slice, weights: FloatArray | None) -> _Local:
    terms = problem.terms(coords, rows)
    fitted, shares = log_sum(terms)
    slopes = log_sum_slopes(terms, shares, coords.shape[1])
    residuals = fitted - problem.log_loss[..., rows]
    size = np.abs(residuals)
    force = np.clip(residuals, -DELTA, DELTA)
    inside, pull = (size < DELTA).astype(np.float64), DELTA / np.maximum(size, DELTA)
    losses = huber(residuals)
    if weights is not None:
        force, inside, pull, losses = force * weights, inside * weights, pull * weights, losses * weights
    turned = np.swapaxes(slopes, 1, 2)
    hessian = np.matmul(slopes * (inside - force)[:, None], turned)
    for term, share in zip(terms, shares, strict=True):
        slots, pushed = np.array(term.slots), force * share
        if term.slopes.shape[0] == 1:
            pairs = term.slopes[0][:, None, :] * term.slopes[0][None, :, :]
            curve = (pushed @ pairs.reshape(-1, pairs.shape[-1]).T).reshape(-1, len(slots), len(slots))
        else:
            curve = np.matmul(term.slopes * pushed[:, None], np.swapaxes(term.slopes, 1, 2))
        for (i, j), bend in term.bends.items():
            entry = np.einsum("br,br->b", pushed, bend)
            curve[:, i, j] += entry
            if i != j:
                curve[:, j, i] += entry
        hessian[:, slots[:, None], slots[None, :]] += curve
    return _Local(
        losses.sum(axis=1),
        np.matmul(slopes, force[:, :, None])[:, :, 0],
        hessian,
        np.matmul(slopes * pull[:, None], turned),
    )


def _step(problem: Problem, coords: FloatArray, local: _Local, damping: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a descent step (B, P) that keeps coordinates at their bounds, and the decrease it promises (B,)."""
    gradient = local.gradient
    held = ((coords <= problem.lower) & (gradient > 0)) | ((coords >= problem.upper) & (gradient < 0))
    gradient = np.where(held, 0.0, gradient)
    free = (~held).astype(np.float64)
    pairs = free[:, :, None] * free[:, None, :]
    eye = np.eye(coords.shape[1])
    ridge = 1e-12 * np.trace(local.majorant, axis1=1, axis2=2)[:, None, None] + 1e-300
    majorant = local.majorant * pairs + eye * (held[:, :, None] + ridge)
    matrix = local.hessian * pairs + damping[:, None, None] * majorant + eye * held[:, :, None]
    values, vectors = np.linalg.eigh(matrix)
    # Where the model is not convex, the size of the curvature still gives a descent direction.
    values = np.maximum(np.abs(values), 1e-14 * np.abs(values).max(axis=1, keepdims=True) + 1e-300)
    along = np.matmul(np.swapaxes(vectors, 1, 2), gradient[:, :, None])[:, :, 0]
    step = -np.matmul(vectors, (along / values)[:, :, None])[:, :, 0]
    promised = 0.5 * (along * along / values).sum(axis=1)
    longest = np.abs(step).max(axis=1, keepdims=True)
    return step * np.minimum(1.0, LONGEST_STEP / np.maximum(longest, 1e-300)), promised
