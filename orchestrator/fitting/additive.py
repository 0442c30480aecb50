"""What laws that are a sum of positive terms have in common: multi-start Newton for one fit, warm starts for many."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar, Final

import numpy as np

from orchestrator.fitting.axes import FloatArray, Mask
from orchestrator.fitting.law import Law, Role
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.newton import Problem, minimise, objectives
from orchestrator.fitting.solver.terms import Term, log_sum, log_sum_slopes

#: Box of the coordinates of a sample (its loss centred at 1), by role. A floor at its lower bound is no floor.
BOX: Final[dict[Role, tuple[float, float]]] = {
    "floor": (np.log(1e-6), 1.0),
    "factor": (-40.0, 40.0),
    "exponent": (-5.0, 10.0),
    "power": (-20.0, 20.0),
    "saturation": (np.log(0.05), np.log(1e4)),
}
#: Starts are tried on this many rows at most; the winner is polished on all of them.
ROWS_FOR_STARTS: Final = 1000
#: Steps of the best starts at most; the valley of a law with a break is long.
POLISH: Final = 600
#: Standard deviations of the coordinates that a round wanders by; rounds at most, and without a find before the end;
#: a sum of Huber losses below which there is nothing left to find.
WANDERINGS: Final = np.array([0.2, 0.6, 1.5, 3.0])
MOST_ROUNDS: Final = 12
IDLE_ROUNDS: Final = 2
RIGHT: Final = 1e-16
#: The same for parts of a sample, whose predictions are wanted and not their last digits.
PART_POLISH: Final = 600
PART_TOLERANCE: Final = 1e-13
#: Floors below this share of the loss are small: a replica starts no nearer to zero, and zero itself is tried.
SMALL_FLOOR: Final = 0.05


class AdditiveLaw(Law):
    """A law L = Σ exp(u_k), estimated by the sum of Huber losses on log residuals.

    A subclass gives the log terms and the starts; where the terms are not linear in the coordinates, the Hessian is
    approximate and the optimum the same.
    """

    #: Narrower bounds than `BOX` for some parameters.
    bounds: ClassVar[dict[str, tuple[float, float]]] = {}
    #: Starts that go on after the first steps; a law with many valleys needs more.
    polished: ClassVar[int] = 4

    #: Searches of a round that go on from what was found; for laws whose starts can't reach every valley.
    wanders: ClassVar[int] = 0
    #: Whether parts of a sample need them too, one by one.
    rugged: ClassVar[bool] = False

    @abstractmethod
    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the log terms at coordinates (B, P)."""

    @abstractmethod
    def starts(self, sample: Sample) -> FloatArray:
        """Return coordinates to start from, shape (S, P)."""

    def log_loss(self, coords: FloatArray, log_axes: LogAxes) -> FloatArray:
        """Return log L, shape (B, rows)."""
        return log_sum(self.terms(coords, log_axes))[0]

    def slopes(self, coords: FloatArray, log_axes: LogAxes) -> FloatArray:
        """Return d log L / d coordinates, shape (B, P, rows)."""
        terms = self.terms(coords, log_axes)
        return log_sum_slopes(terms, log_sum(terms)[1], coords.shape[1])

    def box(self, axes: Collection[str]) -> tuple[FloatArray, FloatArray]:
        """Return the bounds (lower, upper), each (P,), within which a sample's coordinates are searched."""
        lower, upper = np.array([self.bounds.get(p.name, BOX[p.role]) for p in self.parameters(axes)]).T
        return lower, upper

    def problem(self, sample: Sample) -> Problem:
        """Return the minimisation problem of a sample."""
        lower, upper = self.box(sample.log_axes)

        def terms(coords: FloatArray, rows: slice) -> Sequence[Term]:
            return self.terms(coords, {axis: values[rows] for axis, values in sample.log_axes.items()})

        return Problem(terms, sample.log_loss, lower, upper, sample.weights)

    def solve(self, sample: Sample) -> FloatArray:
        """Return the best coordinates over all starts, shape (P,)."""
        thin = sample
        if sample.rows > ROWS_FOR_STARTS:
            chosen = np.random.default_rng(0).choice(sample.rows, ROWS_FOR_STARTS, replace=False)
            thin = sample.part(np.sort(chosen))
        problem = self.problem(thin)
        coords, objective = minimise(problem, self.starts(thin), tolerance=1e-4, iterations=40)
        coords, objective = minimise(
            problem, coords[np.argsort(objective, kind="stable")[: self.polished]], iterations=POLISH
        )
        best = coords[np.argmin(objective)][None]
        if self.wanders:
            best = self._wandered(problem, best, float(objective.min()))
        if thin is not sample:
            best, _ = minimise(self.problem(sample), best)
        solution: FloatArray = self._with_floor_or_none(sample, best, None, tolerance=1e-13)[0]
        return solution

    def _wandered(self, problem: Problem, best: FloatArray, least: float) -> FloatArray:
        """Return the best of the searches that start about what was found, near and far, until rounds find nothing."""
        random, idle = np.random.default_rng(0), 0
        for _ in range(MOST_ROUNDS):
            sizes = np.repeat(WANDERINGS, self.wanders)[:, None]
            starts = best + sizes * random.standard_normal((sizes.size, best.shape[1]))
            coords, objective = minimise(problem, starts, tolerance=1e-4, iterations=40)
            chosen = np.argsort(objective, kind="stable")[: self.polished]
            coords, objective = minimise(problem, coords[chosen], iterations=POLISH)
            idle += 1
            if objective.min() < least * (1.0 - 1e-7):
                idle, least, best = 0, float(objective.min()), coords[np.argmin(objective)][None]
            if idle >= IDLE_ROUNDS or least < RIGHT:
                break
        return best

    def solve_parts(self, sample: Sample, parts: Sequence[Mask]) -> list[FloatArray]:
        """Return the best coordinates (P,) of some parts, each from starts of its own; all in one batch."""
        if not parts or sample.rows > ROWS_FOR_STARTS or self.rugged:
            return super().solve_parts(sample, parts)
        starts = [self.starts(sample.part(part)) for part in parts]
        of = np.repeat(np.arange(len(parts)), [len(s) for s in starts])
        masks = np.array(parts, dtype=np.float64)
        problem = self.problem(sample)
        coords, objective = minimise(problem, np.concatenate(starts), masks[of], tolerance=1e-4, iterations=40)
        order = np.lexsort((objective, of))
        first = np.searchsorted(of[order], np.arange(len(parts)))
        place = np.arange(order.size) - first[of[order]]
        kept = order[place < self.polished]
        coords, objective = minimise(
            problem, coords[kept], masks[of[kept]], tolerance=PART_TOLERANCE, iterations=PART_POLISH
        )
        best = [int(np.flatnonzero(of[kept] == k)[np.argmin(objective[of[kept] == k])]) for k in range(len(parts))]
        return list(self._with_floor_or_none(sample, coords[best], masks, tolerance=PART_TOLERANCE))

    def resolve(self, sample: Sample, coords: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the best coordinates (B, P) under weights (B, rows), started at ``coords`` (P,)."""
        least = np.where(self._floors(sample), np.log(SMALL_FLOOR), -np.inf)
        starts = np.repeat(np.maximum(coords, least)[None], len(weights), axis=0)
        found, _ = minimise(self.problem(sample), starts, weights, tolerance=1e-6, iterations=60)
        return self._with_floor_or_none(sample, found, weights, tolerance=1e-6)

    def _with_floor_or_none(
        self, sample: Sample, coords: FloatArray, weights: FloatArray | None, tolerance: float
    ) -> FloatArray:
        """Where a floor is small, see whether none (−inf) does as well; on the way to none the objective is flat."""
        problem, floor = self.problem(sample), self._floors(sample)
        small = np.flatnonzero((coords[:, floor] < np.log(SMALL_FLOOR)).any(axis=1))
        if small.size:
            part = None if weights is None else weights[small]
            starts = np.where(floor, problem.lower, coords[small])
            small_ones = problem.take(small)
            none, objective = minimise(small_ones, starts, part, tolerance=tolerance, iterations=100)
            better = objective <= objectives(small_ones, coords[small], part)
            coords[small[better]] = none[better]
        coords[floor & (coords < problem.lower + np.log(2.0))] = -np.inf
        return coords

    def _floors(self, sample: Sample) -> Mask:
        return np.array([p.role == "floor" for p in self.parameters(sample.log_axes)])
