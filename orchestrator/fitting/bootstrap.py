"""The bootstrap: the law solved again on resampled rows, all replicas in one batched solver (Efron 1979)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.far.quantiles import student_quantile
from orchestrator.fitting.groups import Ids, counts, sizes
from orchestrator.fitting.law import Law
from orchestrator.fitting.sample import Sample

#: Rows drawn with replacement; errors drawn and added to the fitted values; all rows of one N drawn together.
Resample = Literal["case", "residual", "cluster"]
RESAMPLES: Final[tuple[Resample, ...]] = get_args(Resample)

#: Above this many rows, replicas are made from this many and their spread scaled down (m out of n, Bickel 1997).
MOST_ROWS: Final = 1000
#: Replica-rows solved at a time: few enough for a core's cache, enough to hide Python.
BATCH: Final = 40_000
#: Sizes N below which drawing them together says nothing.
FEWEST_CLUSTERS: Final = 5
#: Degrees of freedom from which residuals tell the noise, and the normal's 90 % half-width.
MANY_FREE: Final = 40
NORMAL_90: Final = 1.6448536269514722


def no_clusters(sample: Sample, groups: Ids | None) -> str | None:
    """Say why the rows of one group (one N where there are none) can't be drawn together, or None where they can."""
    count = len(counts(sizes(sample) if groups is None else groups))
    if count >= FEWEST_CLUSTERS:
        return None
    if groups is not None:
        return f"drawing groups needs at least {FEWEST_CLUSTERS} of them, these rows have {count}: add runs"
    return (
        f"clusters of one n need at least {FEWEST_CLUSTERS} sizes, these rows have {count if count > 1 else 'one'}: "
        "add sizes, or resample by case"
    )


def replicas(
    law: Law,
    sample: Sample,
    coords: FloatArray,
    count: int,
    seed: int,
    resample: Resample = "case",
    groups: Ids | None = None,
) -> FloatArray:
    """Return the coordinates of bootstrap replicas.

    Rows are drawn as they are, repeats of one cell included. Above `MOST_ROWS` rows the replicas' deviations come
    from a random part of m rows and are scaled by √(m/n). Residuals are smaller than the errors that they stand for:
    when drawn they are scaled up by √(n/(n-P)), and for a least-squares law the deviations of the other replicas are
    (MacKinnon and White 1985, HC1).

    Parameters
    ----------
    coords
        Solution on all rows, shape (P,).
    count
        Replicas asked for.
    groups
        Which rows are drawn together under ``cluster``, shape (rows,); by default those of one N.

    Returns
    -------
    array
        Shape (at most count, P): replicas that leave a parameter without rows are left out.
    """
    rng = np.random.default_rng(seed)
    together = (sizes(sample) if groups is None else groups) if resample == "cluster" else None
    if sample.rows > MOST_ROWS and together is None:
        part = sample.part(np.sort(rng.choice(sample.rows, MOST_ROWS, replace=False)))
        centre = law.resolve(part, coords, np.ones((1, MOST_ROWS)))[0]
        found = _resolved(law, part, centre, count, resample, None, rng)
        with np.errstate(invalid="ignore"):
            moved = coords + (found - centre) * np.sqrt(MOST_ROWS / sample.rows)
        found = np.where(np.isneginf(coords) | np.isneginf(centre), coords, moved)
    else:
        found = _resolved(law, sample, coords, count, resample, together, rng)
    if resample == "residual":
        found = _for_few(found, coords, sample.rows)
    if law.least_squares and resample != "residual":
        found = coords + (found - coords) * np.sqrt(sample.rows / max(1, sample.rows - coords.size))
    return found[~np.isnan(found).any(axis=1)]


def _resolved(
    law: Law,
    sample: Sample,
    coords: FloatArray,
    count: int,
    resample: Resample,
    together: Ids | None,
    rng: np.random.Generator,
) -> FloatArray:
    size = max(1, BATCH // sample.rows)
    parts = [np.zeros((0, coords.size))]
    for start in range(0, count, size):
        again = min(size, count - start)
        if resample == "residual":
            drawn, weights = _with_drawn_errors(law, sample, coords, again, rng), np.ones((again, sample.rows))
        else:
            drawn, weights = sample, _drawn_counts(sample, again, together, rng)
        parts.append(law.resolve(drawn, coords, weights))
    return np.concatenate(parts)


def _for_few(found: FloatArray, coords: FloatArray, rows: int) -> FloatArray:
    """Widen replicas by what Student's t is wider than a normal: with few rows their noise is hardly known."""
    free = rows - coords.size
    if free >= MANY_FREE or free < 1:
        return found
    with np.errstate(invalid="ignore"):
        moved = coords + (found - coords) * student_quantile(0.9, free) / NORMAL_90
    return np.where(np.isneginf(coords) | np.isneginf(found), found, moved)


def _drawn_counts(sample: Sample, count: int, together: Ids | None, rng: np.random.Generator) -> FloatArray:
    """Return how often each replica drew each row, shape (count, rows)."""
    of = np.arange(sample.rows) if together is None else together
    kinds = int(of.max()) + 1
    return rng.multinomial(kinds, np.full(kinds, 1.0 / kinds), size=count).astype(np.float64)[:, of]


def _with_drawn_errors(law: Law, sample: Sample, coords: FloatArray, count: int, rng: np.random.Generator) -> Sample:
    """Return the sample with a log loss of each replica's own, shape (count, rows): fitted values and drawn errors."""
    fitted = law.log_loss(coords[None], sample.log_axes)[0]
    size = np.ones(sample.rows) if sample.weights is None else sample.weights ** (-0.5 if law.least_squares else -1.0)
    errors = (sample.log_loss - fitted) / size
    errors = (errors - errors.mean()) * np.sqrt(sample.rows / max(1, sample.rows - coords.size))
    return replace(sample, log_loss=fitted + size * rng.choice(errors, size=(count, sample.rows)))
