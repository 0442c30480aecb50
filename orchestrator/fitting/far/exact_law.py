"""A law that the rows follow exactly, up to noise: fitted as if every row were independent evidence.

On real tables errors are a law's and hang together, so rule S lets all rows count as eight. Where the residuals of a
simple law are white noise and its exponents usual, that is too little, and the law itself is the better answer. How
much better it does than Kaplan's form over any floor, at its own noise, and whether its residuals still have a
structure, says how far it is believed (rule G).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.far.floors import FLOORS, LOWEST, prior_problem
from orchestrator.fitting.far.form import Points, chinchilla_form, kaplan_form, kaplan_starts, own_form
from orchestrator.fitting.far.posterior_mode import Model, Modes, minimise
from orchestrator.fitting.far.smoothing import kernel
from orchestrator.fitting.solver.projection import two_term_starts

THRESHOLD: Final = 1.5
#: Huber's threshold for the scale, and the mean of its squared weight under a normal.
SCALE_THRESHOLD: Final = 1.345
SCALE_MEAN: Final = 0.8214
LEAST_SIGMA: Final = 1e-7
SCALE_STEPS: Final = 30
STARTS: Final = 4
#: Structure in the residuals: lengths in log units, variances over the noise, what is let go, rows that are looked at.
LENGTHS: Final = (0.7, 1.0, 2.0)
RATIOS: Final = np.geomspace(0.1, 300.0, 12)
FREE_STRUCTURE: Final = 5.0
MOST_ROWS: Final = 300
#: Squares of σ by which rule S must miss a row, on average and over what the law itself does, for it to be believed.
MISFIT: Final = 2.2
#: Noise below which structure is rounding.
FINE: Final = 1e-4
#: Rows and range of ln(n·d) without which no law is believed to be exact.
FEWEST_ROWS: Final = 15
LEAST_RANGE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Form:
    """A simple law: its coordinates' starts, box and priors (precision 0 where there is none).

    ``handicap`` is the evidence (half log odds) against it from the start.
    """

    name: str
    model: Callable[[Points], Model]
    starts: Callable[[Points, FloatArray], FloatArray]
    lower: FloatArray
    upper: FloatArray
    centre: FloatArray
    precision: FloatArray
    handicap: float


def _chinchilla_starts(points: Points, log_loss: FloatArray) -> FloatArray:
    grid = two_term_starts(points.x, points.z, log_loss, STARTS)
    return np.column_stack([grid[:, :3], np.log(grid[:, 3:])])


def _kaplan_starts(points: Points, log_loss: FloatArray) -> FloatArray:
    """The exponents from a plane in the logs, times some."""
    plane = np.column_stack([np.ones_like(points.x), -points.x, -points.z])
    level, alpha, beta = np.linalg.lstsq(plane, log_loss, rcond=None)[0]
    alpha, beta = max(alpha, 0.02), max(beta, 0.02)
    stretched = [(level, level, np.log(s * alpha), np.log(s * beta)) for s in (1.0, 1.5, 2.0, 3.0)]
    return np.array(stretched)


def _own_starts(points: Points, log_loss: FloatArray) -> FloatArray:
    """Chinchilla's law (γ = 1), and Kaplan's form over some of the floors of rule S."""
    chinchilla = _chinchilla_starts(points, log_loss)[:2]
    first = np.column_stack([chinchilla, np.zeros(len(chinchilla))])
    shares = FLOORS[[1, 2, 3, 5]]
    log_floor = (np.log(shares) + np.log(np.quantile(np.exp(log_loss), LOWEST)))[:, None]
    weights = np.ones((shares.size, log_loss.size))
    return np.concatenate([first, np.column_stack([log_floor, kaplan_starts(points, log_loss, weights, log_floor)])])


def _form(
    name: str,
    model: Callable[[Points], Model],
    starts: Callable[[Points, FloatArray], FloatArray],
    bounds: list[tuple[float, float]],
    priors: list[tuple[float, float] | None],
    handicap: float,
) -> Form:
    lower, upper = np.array(bounds).T
    centre = np.array([0.0 if prior is None else np.log(prior[0]) for prior in priors])
    precision = np.array([0.0 if prior is None else prior[1] ** -2.0 for prior in priors])
    return Form(name, model, starts, lower, upper, centre, precision, handicap)


_LEVEL, _EXPONENT = (-60.0, 60.0), (float(np.log(0.003)), float(np.log(3.0)))
CHINCHILLA: Final = _form(
    "chinchilla",
    chinchilla_form,
    _chinchilla_starts,
    [_LEVEL] * 3 + [_EXPONENT] * 2,
    [None, None, None, (0.38, 0.25), (0.38, 0.25)],
    1.0,
)
KAPLAN: Final = _form(
    "kaplan",
    kaplan_form,
    _kaplan_starts,
    [_LEVEL] * 2 + [_EXPONENT] * 2,
    [None, None, (0.09, 0.5), (0.09, 0.5)],
    5.0,
)
OWN: Final = _form(
    "kaplan_floor",
    own_form,
    _own_starts,
    [_LEVEL] * 3 + [_EXPONENT] * 2 + [(float(np.log(0.05)), float(np.log(3.0)))],
    [None, None, None, (0.30, 0.35), (0.30, 0.35), (0.5, 0.6)],
    0.0,
)


@dataclass(frozen=True, slots=True)
class ExactLaw:
    """A law by all rows as independent evidence, and how far it is believed.

    Parameters
    ----------
    form
        Which law.
    coords, covariance
        Of shapes (P,) and (P, P).
    sigma
        Noise of a row.
    evidence
        e: half the log odds for it over rule S.
    structure
        g: twice the log likelihood ratio of a smooth structure in its residuals.
    rows
        How many there were.
    """

    form: Form
    coords: FloatArray
    covariance: FloatArray
    sigma: float
    evidence: float
    structure: float
    rows: int

    @property
    def probability(self) -> float:
        """π: 0 to 1."""
        believed = 1.0 / (1.0 + np.exp(-2.0 * np.clip(self.evidence, -300.0, 300.0)))
        return float(np.clip((believed - 0.05) / 0.9, 0.0, 1.0))

    def predict(self, points: Points) -> tuple[FloatArray, FloatArray]:
        """Return ln L and its variance by the parameters, each of shape (points,)."""
        fitted, slopes = self.form.model(points)(self.coords[None], np.zeros((1, 1)))
        return fitted[0], np.einsum("pr,pq,qr->r", slopes[0], self.covariance, slopes[0])


def exact_laws(points: Points, log_loss: FloatArray, rule: FloatArray) -> list[tuple[ExactLaw, float]]:
    """Return the laws that the rows may follow exactly, each with its share of the belief; what is left is rule S's.

    Parameters
    ----------
    rule
        ln L of the rows by rule S, shape (rows,).
    """
    rows = log_loss.size
    if rows < FEWEST_ROWS or np.ptp(points.x + points.z) < LEAST_RANGE:
        return []
    if min(np.ptp(points.x), np.ptp(points.z)) < 1e-9:
        return []
    smooth = _Smooth.of(points)
    simple = [_weighed(form, points, log_loss, smooth, None) for form in (CHINCHILLA, KAPLAN)]
    simple.sort(key=lambda law: -law.evidence)
    found, rest = [], 1.0
    for law in [*simple, _weighed(OWN, points, log_loss, smooth, rule)]:
        found.append((law, rest * law.probability))
        rest *= 1.0 - law.probability
    return found


def _weighed(form: Form, points: Points, log_loss: FloatArray, smooth: _Smooth, rule: FloatArray | None) -> ExactLaw:
    """Fit a law and weigh it: against Kaplan's form over any floor, or against rule S where its losses are given."""
    rows, model = log_loss.size, form.model(points)
    coords, sigma = _with_scale(form, points, log_loss)
    problem = _problem(form, points, log_loss, np.array([sigma]), THRESHOLD, form.precision)
    found, (objective,) = minimise(problem, coords[None])
    _, _, matrix = problem.expand(found)
    fitted, slopes = model(found, np.zeros((1, 1)))
    structure = smooth.structure(log_loss - fitted[0], slopes[0], sigma)
    if rule is None:
        with np.errstate(divide="ignore"):
            log_floor = np.maximum(np.log(FLOORS) + np.log(np.quantile(np.exp(log_loss), LOWEST)), -700.0)[:, None]
        weights = np.ones((FLOORS.size, rows))
        other = prior_problem(points, log_loss, log_floor, weights, np.full(FLOORS.size, sigma))
        against = minimise(other, kaplan_starts(points, log_loss, weights, log_floor))[1].min() - 1.0
    else:
        size = np.abs(rule - log_loss) / sigma
        inside = np.minimum(size, THRESHOLD)
        against = float((inside * (size - 0.5 * inside)).sum()) - MISFIT * rows
    evidence = float(against - objective - max(0.0, structure - FREE_STRUCTURE) - form.handicap)
    covariance = np.linalg.pinv(matrix[0], hermitian=True)
    return ExactLaw(form, found[0], covariance, sigma, evidence, structure, rows)


def _problem(
    form: Form, points: Points, log_loss: FloatArray, sigma: FloatArray, threshold: float, precision: FloatArray
) -> Modes:
    return Modes(
        form.model(points),
        np.zeros((sigma.size, 1)),
        log_loss,
        np.ones((sigma.size, log_loss.size)),
        sigma,
        threshold,
        form.centre,
        precision,
        form.lower,
        form.upper,
    )


def _with_scale(form: Form, points: Points, log_loss: FloatArray) -> tuple[FloatArray, float]:
    """Return coordinates and σ of a Huber fit with its own scale, at the fixed point (Huber 1981, proposal 2)."""
    model, rows = form.model(points), log_loss.size
    coords = form.starts(points, log_loss)
    first = model(coords, np.zeros((len(coords), 1)))[0] - log_loss
    sigma = max(LEAST_SIGMA, float(np.sqrt(np.mean(first**2, axis=1)).min()))
    free, weak = max(1, rows - form.lower.size), 1e-4 * form.precision
    for _ in range(SCALE_STEPS):
        problem = _problem(form, points, log_loss, np.full(len(coords), sigma), SCALE_THRESHOLD, weak)
        found, score = minimise(problem, coords)
        coords = found[[np.argmin(score)]]
        residuals = model(coords, np.zeros((1, 1)))[0][0] - log_loss
        weight = np.minimum(1.0, SCALE_THRESHOLD * sigma / np.maximum(np.abs(residuals), 1e-300))
        again = max(LEAST_SIGMA, float(np.sqrt((weight * residuals**2).sum() / (free * SCALE_MEAN))))
        done = abs(np.log(again / sigma)) < 1e-3
        sigma = again
        if done:
            break
    return coords[0], sigma


@dataclass(frozen=True, slots=True)
class _Smooth:
    """Kernels of some rows at several lengths, decomposed once for all laws."""

    chosen: NDArray[np.intp]
    values: tuple[FloatArray, ...]
    vectors: tuple[FloatArray, ...]

    @classmethod
    def of(cls, points: Points) -> _Smooth:
        chosen = np.arange(points.x.size)
        if chosen.size > MOST_ROWS:
            chosen = np.sort(np.random.default_rng(0).choice(chosen.size, MOST_ROWS, replace=False))
        part = Points(points.x[chosen], points.z[chosen])
        found = [np.linalg.eigh(kernel(part, part, length)) for length in LENGTHS]
        return cls(chosen, tuple(v for v, _ in found), tuple(v for _, v in found))

    def structure(self, residuals: FloatArray, slopes: FloatArray, sigma: float) -> float:
        """Return twice the log likelihood ratio of smooth structure in residuals against none."""
        clipped = np.clip(residuals[self.chosen], -3 * sigma, 3 * sigma)
        jacobian = np.linalg.qr(slopes[:, self.chosen].T)[0]
        own = clipped - jacobian @ (jacobian.T @ clipped)
        rows, best = self.chosen.size, 0.0
        null = rows * np.log(max(float(own @ own), 1e-300))
        for values, vectors in zip(self.values, self.vectors, strict=True):
            along = (vectors.T @ own) ** 2
            size = 1.0 + RATIOS[:, None] * np.maximum(values, 0.0)
            ratio = null - rows * np.log(np.maximum((along / size).sum(1), 1e-300)) - np.log(size).sum(1)
            best = max(best, float(ratio.max()))
        return best * min(1.0, (sigma / FINE) ** 2)
