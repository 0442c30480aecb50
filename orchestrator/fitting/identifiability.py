"""Which parameters the rows can tell, and which not: the numbers of those are withheld, with the reason.

How well rows tell parameters apart is read from the singular values of the law's scaled Jacobian (Belsley et al. 1980).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import MEANING, FloatArray, distinct
from orchestrator.fitting.law import Law, Parameter
from orchestrator.fitting.sample import LogAxes, Sample

#: Slopes of a parameter below this (root mean square, of log L) leave it without influence on the rows.
LEAST_INFLUENCE: Final = 1e-4
#: Directions weaker than this share of the strongest are flat: the rows hardly tell how far to go along them.
FLAT: Final = 1e-2
#: Parameters with less than this share in a direction are not named with it.
LEAST_SHARE: Final = 0.1
#: An axis is collinear where less than this share of its spread is its own.
OWN_SPREAD: Final = 0.01
#: Directions of the scaled Jacobian below this share of the strongest are not seen by the rows.
SINGULAR: Final = 1e-6
#: Saturation constants within a factor e of their bounds have run away: beyond, they change nothing.
EDGE: Final = 1.0
#: 90 % intervals wider than this say nothing: ratio hi/lo of factors and saturation constants, width of exponents and
#: powers, width of a floor as a share of the lowest loss.
WIDEST: Final = {"factor": 1e6, "saturation": 10.0, "exponent": 2.0, "power": 2.0, "floor": 0.6}

#: Why a parameter has no number: its axes move together in every row; two values can't tell an exponent from a floor;
#: no row depends on it; its effect cancels with another's; it ran out of bounds; its interval says nothing.
Cause = Literal["collinear", "two_values", "no_influence", "cancels", "out_of_bounds", "wide_interval"]


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a parameter has no number: the cause, and in words with the cells that would help."""

    cause: Cause
    why: str


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


def unidentified(
    law: Law, sample: Sample, seen: Directions, edges: Mapping[str, Withheld], ends: FloatArray | None, least: float
) -> dict[str, Withheld]:
    """Return the parameters without a number, each with the reason.

    Parameters
    ----------
    seen, edges
        What `directions` and `at_bounds` say of the solution.
    ends
        Lower and upper end of each parameter's interval in its own unit, shape (2, P); None without a bootstrap.
    least
        Lowest loss of the rows, in its own unit.
    """
    parameters = law.parameters(sample.log_axes)
    reasons: dict[str, Withheld] = {}
    tied = _collinear(sample.log_axes)
    if tied:
        why = Withheld(
            "collinear",
            f"{' and '.join(tied)} move together in every row; add cells where {tied[-1]} changes at fixed {tied[0]}",
        )
        reasons.update({p.name: why for p in parameters if set(p.axes) & set(tied)})
    for name, why in _floor_or_exponent(parameters, sample.log_axes).items():
        reasons.setdefault(name, why)
    for name, why in _unseen(seen, sample.log_axes, parameters).items():
        reasons.setdefault(name, why)
    for name, why in edges.items():
        reasons.setdefault(name, why)
    if ends is not None:
        for parameter, (low, high) in zip(parameters, ends.T, strict=True):
            if _too_wide(parameter, low, high, least):
                reasons.setdefault(parameter.name, Withheld("wide_interval", _wide_reason(parameter, low, high)))
    return reasons


def not_identified(withheld: Mapping[str, Withheld]) -> dict[str, str]:
    """Return the sentence that says why each parameter has no number; those with one reason share theirs."""
    together: dict[Withheld, list[str]] = {}
    for name, reason in withheld.items():
        together.setdefault(reason, []).append(name)
    sentences = {
        reason: f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not identified: {reason.why}"
        for reason, names in together.items()
    }
    return {name: sentences[reason] for name, reason in withheld.items()}


def _collinear(log_axes: LogAxes) -> list[str]:
    """Axes that the other axes determine, unique data apart (it equals data seen wherever nothing repeats)."""
    names = [name for name in log_axes if name != "unique_d"]
    tied = []
    for name in names:
        own = log_axes[name] - log_axes[name].mean()
        others = [log_axes[other] - log_axes[other].mean() for other in names if other != name]
        if others:
            design = np.column_stack(others)
            rest = own - design @ np.linalg.lstsq(design, own, rcond=None)[0]
            if np.linalg.norm(rest) < OWN_SPREAD * np.linalg.norm(own):
                tied.append(name)
    return tied


def _floor_or_exponent(parameters: Sequence[Parameter], log_axes: LogAxes) -> dict[str, Withheld]:
    """Parameters of a term that rests on one axis of two values: any exponent fits them, with its own floor."""
    reasons: dict[str, Withheld] = {}
    if not any(p.role == "floor" for p in parameters):
        return reasons
    for factor in parameters:
        if factor.role == "factor" and len(factor.axes) == 1 and distinct(np.exp(log_axes[factor.axes[0]])) < 3:
            axis = factor.axes[0]
            why = Withheld(
                "two_values",
                f"two values of {axis} can't tell an exponent from a floor; add cells with a third value of {axis}",
            )
            reasons.update({p.name: why for p in parameters if p.role == "floor" or p.axes == factor.axes})
    return reasons


def _unseen(found: Directions, log_axes: LogAxes, parameters: Sequence[Parameter]) -> dict[str, Withheld]:
    """Parameters without influence on the rows, or whose influences cancel."""
    reasons: dict[str, Withheld] = {}
    for parameter, influence in zip(parameters, found.influence, strict=True):
        if influence < LEAST_INFLUENCE and parameter.role != "floor":
            wanted = _wanted([parameter], log_axes)
            reasons[parameter.name] = Withheld("no_influence", f"no row depends on it; add cells with {wanted}")
    if found.seen.size < 2:
        return reasons
    weak = found.vectors[:, found.strength**2 < (SINGULAR * found.strength[0]) ** 2 + 1e-13]
    lost = [parameters[found.seen[i]] for i in np.flatnonzero((np.abs(weak) > LEAST_SHARE).any(axis=1))]
    for parameter in lost:
        why = f"their effects cancel on these rows; add cells with {_wanted(lost, log_axes)}"
        reasons[parameter.name] = Withheld("cancels", why)
    return reasons


def at_bounds(law: Law, sample: Sample, coords: FloatArray) -> dict[str, Withheld]:
    """Return the parameters that ran to the edge of the search; a floor there is no floor, which is an answer."""
    lower, upper = law.box(sample.log_axes)
    reasons: dict[str, Withheld] = {}
    for k, parameter in enumerate(law.parameters(sample.log_axes)):
        margin = EDGE if parameter.role == "saturation" else 1e-6
        if parameter.role != "floor" and not lower[k] + margin < coords[k] < upper[k] - margin:
            axes = " and ".join(parameter.axes)
            why = f"its best value runs out of bounds; add cells with a wider range of {axes}"
            reasons[parameter.name] = Withheld("out_of_bounds", why)
    return reasons


def _wanted(lost: Sequence[Parameter], log_axes: LogAxes) -> str:
    """Say which axis needs more values: those with fewer than three, else all that the parameters rest on."""
    axes = [a for a in log_axes if any(a in p.axes for p in lost)] or list(log_axes)
    short = [a for a in axes if distinct(np.exp(log_axes[a])) < 3] or axes
    return "other values of " + ", ".join(f"{a} ({MEANING[a]})" for a in short)


def _too_wide(parameter: Parameter, low: float, high: float, least: float) -> bool:
    if not (np.isfinite(low) and np.isfinite(high)):
        return True
    widest = WIDEST[parameter.role]
    if not parameter.positive:
        return bool(high - low > widest)
    if parameter.role == "floor":
        return bool(high - low > widest * least)
    return bool(high > widest * low)


def _wide_reason(parameter: Parameter, low: float, high: float) -> str:
    axes = " or ".join(parameter.axes) or "every axis"
    return f"its 90 % interval runs from {low:.3g} to {high:.3g}; add cells with a wider range of {axes}"
