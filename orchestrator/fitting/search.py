"""The search for a law's best coordinates: over all rows, or over a part of very many."""

from __future__ import annotations

from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Law, Sample

#: Above this many rows the many starts of a search are made on this many, and the best is finished on all.
MOST_SEARCHED: Final = 5_000


def best_coords(law: Law, sample: Sample) -> FloatArray:
    """Return the best coordinates on a sample, shape (P,); deterministic."""
    if sample.rows <= MOST_SEARCHED or law.least_squares:
        return law.solve(sample)
    rows = np.sort(np.random.default_rng(0).choice(sample.rows, MOST_SEARCHED, replace=False))
    found = law.resolve(sample, law.solve(sample.part(rows)), np.ones((1, sample.rows)))[0]
    return law.solve(sample) if np.isnan(found).any() else found
