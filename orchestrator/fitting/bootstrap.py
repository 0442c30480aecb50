"""Pairs bootstrap: the law solved again on rows drawn with replacement, all replicas in one batched solver."""

from __future__ import annotations

from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Law, Sample

#: Above this many rows, replicas are made from this many and their spread scaled down (m out of n, Bickel 1997).
MOST_ROWS: Final = 1000
#: Replica-rows solved at a time; bounds memory at about 100 bytes each for every parameter.
BATCH: Final = 250_000


def replicas(law: Law, sample: Sample, coords: FloatArray, count: int, seed: int) -> FloatArray:
    """Return the coordinates of bootstrap replicas.

    Rows are drawn as they are, repeats of one cell included. Above `MOST_ROWS` rows the replicas' deviations come
    from a random part of m rows and are scaled by √(m/n). Deviations of a least-squares law are scaled up by
    √(n/(n-P)), as the residuals that they are made of are smaller than the errors (MacKinnon and White 1985, HC1).

    Parameters
    ----------
    coords
        Solution on all rows, shape (P,).
    count
        Replicas asked for.

    Returns
    -------
    array
        Shape (at most count, P): replicas that leave a parameter without rows are left out.
    """
    rng = np.random.default_rng(seed)
    if sample.rows > MOST_ROWS:
        part = sample.part(np.sort(rng.choice(sample.rows, MOST_ROWS, replace=False)))
        centre = law.resolve(part, coords, np.ones((1, MOST_ROWS)))[0]
        found = _resolved(law, part, centre, count, rng)
        with np.errstate(invalid="ignore"):
            moved = coords + (found - centre) * np.sqrt(MOST_ROWS / sample.rows)
        found = np.where(np.isneginf(coords) | np.isneginf(centre), coords, moved)
    else:
        found = _resolved(law, sample, coords, count, rng)
    if law.least_squares:
        found = coords + (found - coords) * np.sqrt(sample.rows / max(1, sample.rows - coords.size))
    return found[~np.isnan(found).any(axis=1)]


def _resolved(law: Law, sample: Sample, coords: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    size = max(1, BATCH // sample.rows)
    chances = np.full(sample.rows, 1.0 / sample.rows)
    parts = [np.zeros((0, coords.size))]
    for start in range(0, count, size):
        weights = rng.multinomial(sample.rows, chances, size=min(size, count - start)).astype(np.float64)
        parts.append(law.resolve(sample, coords, weights))
    return np.concatenate(parts)
