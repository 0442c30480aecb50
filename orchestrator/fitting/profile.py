"""Intervals by the profile of the objective, where rows hardly tell parameters apart and resampling doesn't show it.

On rows that move along one line (D = 20·N) the replicas of a bootstrap all fall to the same end of a valley, and its
percentiles call a floor known that may be anything. So each floor and exponent is held at values over its range and
the others fitted again: what fits nearly as well can't be ruled out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Law
from orchestrator.fitting.sample import Sample
from orchestrator.fitting.solver.newton import minimise

#: Condition number of the scaled Jacobian from which profiles are taken.
ILL_CONDITIONED: Final = 60.0
#: Values tried: floors as shares of the lowest loss, exponents.
SHARES: Final = np.array([1e-4, 0.15, 0.3, 0.45, 0.6, 0.7, 0.78, 0.85, 0.9, 0.94, 0.97])
EXPONENTS: Final = np.geomspace(0.02, 2.0, 13)
#: Starts of each held value beside the solution.
STARTS: Final = 2
#: Rows that are looked at, at most.
MOST_ROWS: Final = 600
#: The 90 % point of χ² with one degree of freedom, which twice the log likelihood ratio may reach.
REACH: Final = 2.706


def profile_ends(law: Law, sample: Sample, coords: FloatArray) -> FloatArray | None:
    """Return the smallest and largest value (2, P) of each coordinate that fit nearly as well; nan where none does.

    The errors are taken for Laplace's, as the Huber loss on so small a threshold takes them. None where the law is no
    sum of terms.
    """
    if not isinstance(law, AdditiveLaw):
        return None
    if sample.rows > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(sample.rows, MOST_ROWS, replace=False)
        sample = sample.part(np.sort(chosen))
    held, values = _tried(law, sample)
    if not held.size:
        return None
    problem = law.problem(sample)
    near = np.clip(coords, problem.lower, problem.upper)
    starts = np.concatenate([near[None], law.starts(sample)[:STARTS]])
    batch = np.repeat(np.clip(starts, problem.lower, problem.upper)[None], held.size, axis=0)
    lower, upper = (np.repeat(end[None], held.size, axis=0) for end in (problem.lower, problem.upper))
    rows = np.arange(held.size)
    lower[rows, held] = upper[rows, held] = values
    batch[rows[:, None], np.arange(len(starts)), held[:, None]] = values[:, None]
    flat = batch.reshape(-1, coords.size)
    bounds = (np.repeat(end, len(starts), axis=0) for end in (lower, upper))
    bounded = replace(problem, lower=next(bounds), upper=next(bounds))
    _, objective = minimise(bounded, flat, tolerance=1e-7, iterations=150)
    least = objective.reshape(held.size, -1).min(axis=1)
    _, (best,) = minimise(problem, near[None], tolerance=1e-9, iterations=50)
    best = min(best, float(least.min()))
    free = max(1, sample.rows - coords.size)
    allowed = 2.0 * free * np.log(np.maximum(least, 1e-300) / max(best, 1e-300)) <= REACH
    ends = np.full((2, coords.size), np.nan)
    for k in np.unique(held[allowed]):
        inside = values[allowed & (held == k)]
        ends[:, k] = inside.min(), inside.max()
    return ends


def _tried(law: AdditiveLaw, sample: Sample) -> tuple[NDArray[np.intp], FloatArray]:
    """Return which coordinate is held, and at what, for each of the problems."""
    lowest = float(np.quantile(sample.log_loss, 0.02))
    held: list[int] = []
    values: list[float] = []
    lower, upper = law.box(sample.log_axes)
    for k, parameter in enumerate(law.parameters(sample.log_axes)):
        if parameter.role == "floor":
            tried = np.log(SHARES) + lowest
        elif parameter.role == "exponent":
            tried = EXPONENTS
        else:
            continue
        tried = tried[(tried > lower[k]) & (tried < upper[k])]
        held += [k] * tried.size
        values += tried.tolist()
    return np.array(held, dtype=np.intp), np.array(values)
