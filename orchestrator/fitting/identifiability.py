"""How well the rows tell a law's parameters apart: the singular values of its scaled Jacobian (Belsley et al. 1980)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Law, Parameter, Sample

#: Slopes of a parameter below this (root mean square, of log L) leave it without influence on the rows.
LEAST_INFLUENCE: Final = 1e-4
#: Directions weaker than this share of the strongest are flat: the rows hardly tell how far to go along them.
FLAT: Final = 1e-2
#: Parameters with less than this share in a direction are not named with it.
LEAST_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Directions:
    """Directions in the coordinates that rows see, strongest first.

    Parameters
    ----------
    influence
        Root mean square of each coordinate's slope of log L, shape (P,).
    seen
        Positions of the S coordinates with influence.
    strength
        Singular values of the Jacobian with columns of length one, shape (S,).
    vectors
        A column for each direction, shape (S, S).
    """

    influence: FloatArray
    seen: NDArray[np.intp]
    strength: FloatArray
    vectors: FloatArray


@dataclass(frozen=True, slots=True)
class Identifiability:
    """What the rows can't tell at a solution.

    Parameters
    ----------
    condition_number
        Ratio of the strongest to the weakest direction; infinite where effects cancel. Above 100 some parameters are
        told apart by little.
    flat
        Directions weaker than `FLAT` of the strongest: the share of each parameter (the log of a factor), signs
        included.
    at_bounds
        Parameters that ran to the edge of the search.
    """

    condition_number: float
    flat: list[dict[str, float]]
    at_bounds: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary; null for an infinite condition number."""
        finite = bool(np.isfinite(self.condition_number))
        number = float(self.condition_number) if finite else None
        return {"condition_number": number, "flat": self.flat, "at_bounds": self.at_bounds}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Identifiability | None:
        """Return what `to_json` wrote down."""
        if stored is None:
            return None
        number = stored["condition_number"]
        return cls(np.inf if number is None else number, list(stored["flat"]), list(stored["at_bounds"]))


def directions(law: Law, sample: Sample, coords: FloatArray) -> Directions:
    """Return the directions that the rows see at coordinates (P,)."""
    slopes = law.slopes(coords[None], sample.log_axes)[0]
    influence = np.sqrt(np.mean(slopes * slopes, axis=1))
    seen = np.flatnonzero(influence >= LEAST_INFLUENCE)
    scaled = slopes[seen] / influence[seen, None] / np.sqrt(sample.rows)
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    return Directions(influence, seen, np.sqrt(np.maximum(values[::-1], 0.0)), vectors[:, ::-1])


def identifiability(parameters: Sequence[Parameter], found: Directions, at_bounds: Sequence[str]) -> Identifiability:
    """Return the report on some directions."""
    strength = found.strength
    number = float(strength[0] / strength[-1]) if strength.size and strength[-1] > 0 else np.inf
    flat = [
        {
            parameters[found.seen[k]].name: round(float(share), 3)
            for k, share in enumerate(vector)
            if abs(share) > LEAST_SHARE
        }
        for vector in found.vectors.T[strength < FLAT * strength[:1]]
    ]
    return Identifiability(number, flat, list(at_bounds))
