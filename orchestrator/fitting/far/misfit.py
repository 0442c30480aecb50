"""How far a law misses the rows near a point: an interval must hold what was measured there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray

#: Length in log units within which a row speaks for a point.
LENGTH: Final = 0.35
#: Rows that are looked at, at most.
MOST_ROWS: Final = 2000
#: Points looked at in one go, times rows: 80 MB of differences.
BATCH: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class LocalMisfit:
    """Root mean square residual of the rows about a point; 0 where there are none.

    Parameters
    ----------
    places
        Logs of the rows' axes, shape (rows, axes).
    squares
        Squared log residuals, shape (rows,).
    """

    places: FloatArray
    squares: FloatArray

    @classmethod
    def of(cls, places: FloatArray, residuals: FloatArray) -> LocalMisfit:
        """Return the misfit of rows; of very many, of a part."""
        chosen = np.arange(residuals.size)
        if chosen.size > MOST_ROWS:
            chosen = np.random.default_rng(0).choice(chosen.size, MOST_ROWS, replace=False)
        return cls(places[chosen], residuals[chosen] ** 2)

    def at(self, places: FloatArray) -> FloatArray:
        """Return it at points whose logs are given, shape (points, axes) to (points,)."""
        found, step = np.zeros(len(places)), max(1, BATCH // max(1, self.places.size))
        for start in range(0, len(places), step):
            part = places[start : start + step]
            near = np.exp(-0.5 / LENGTH**2 * ((part[:, None] - self.places) ** 2).sum(axis=2))
            total = near.sum(axis=1)
            found[start : start + step] = np.sqrt(near @ self.squares / np.maximum(total, 1.0))
        return found
