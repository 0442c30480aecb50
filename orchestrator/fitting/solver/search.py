"""The search for a law's best coordinates: over all rows, or over a part of very many."""

from __future__ import annotations

from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Law
from orchestrator.fitting.sample import Sample

#: Above this many rows the many starts of a search are made on this many, and the best is finished on more and more.
MOST_SEARCHED: Final = 5_000
#: How many times as many rows each finish takes, until it has all.
MORE: Final = 8


def best_coords(law: Law, sample: Sample) -> FloatArray:
    """Return the best coordinates on a sample, shape (P,); deterministic."""
    if sample.rows <= MOST_SEARCHED or law.least_squares:
        return law.solve(sample)
    order = np.random.default_rng(0).permutation(sample.rows)
    found, count = law.solve(sample.part(np.sort(order[:MOST_SEARCHED]))), MOST_SEARCHED
    while count < sample.rows:
        count = min(MORE * count, sample.rows)
        part = sample.part(np.sort(order[:count]))
        found = law.resolve(part, found, np.ones((1, count)))[0]
    return law.solve(sample) if np.isnan(found).any() else found
