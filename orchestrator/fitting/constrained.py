"""A law of which some parameters are tied to each other or held at a value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Law, Parameter
from orchestrator.fitting.sample import LogAxes, Sample, Units
from orchestrator.fitting.solver.terms import Term

#: What a held floor of 0 is in the coordinates of a sample.
NO_FLOOR: Final = -700.0
#: Roles whose values don't go with the units of the axes, so that they can be tied and held.
FREE_OF_UNITS: Final = ("exponent", "power", "saturation", "floor")
#: Starts tried beside the law's own: the free coordinates of those, moved by this much.
SPREAD: Final = 0.3

Fixes = Mapping[str, str | float]


def parse_fixes(given: str | Fixes | None) -> dict[str, str | float]:
    """Return ``{"alpha": "beta", "E": 1.69}`` for ``"alpha=beta,E=1.69"``.

    Raises
    ------
    BadInput
        If a part is not NAME=NAME or NAME=NUMBER, or a name comes twice.
    """
    if given is None:
        return {}
    if not isinstance(given, str):
        return dict(given)
    fixes: dict[str, str | float] = {}
    for part in given.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise BadInput(
                f"`fix` {given!r}: {part.strip()!r} is not NAME=NAME or NAME=NUMBER; write alpha=beta,E=1.69"
            )
        if name in fixes:
            raise BadInput(f"`fix` {given!r}: {name} is named twice")
        try:
            fixes[name] = float(value)
        except ValueError:
            fixes[name] = value
    return fixes


def applies(law: Law, axes: Collection[str], fixes: Fixes) -> bool:
    """Return whether a law has every parameter that is tied or held."""
    names = {parameter.name for parameter in law.parameters(axes)}
    return all({name, *([other] if isinstance(other, str) else [])} <= names for name, other in fixes.items())


@dataclass
class Constrained(AdditiveLaw):
    """A sum of terms with fewer coordinates: those of the law are ``offset + matrix @ coordinates``.

    Parameters
    ----------
    law
        The law.
    matrix, offset
        Of shapes (P, free) and (P,).
    """

    law: AdditiveLaw
    matrix: FloatArray
    offset: FloatArray

    @classmethod
    def of(cls, law: Law, axes: Collection[str], fixes: Fixes, units: Units) -> Constrained:
        """Return the law with its parameters tied and held; values are in the table's units.

        Raises
        ------
        BadInput
            If a parameter can't be, or its value is none that it can have.
        """
        if not isinstance(law, AdditiveLaw):
            raise BadInput(f"`fix`: {law.name} is solved in closed form and takes no tied parameters; name another law")
        parameters = law.parameters(axes)
        names = [parameter.name for parameter in parameters]
        offset, tied = np.zeros(len(names)), {}
        for name, other in fixes.items():
            one = parameters[names.index(name)]
            if one.role not in FREE_OF_UNITS:
                raise BadInput(f"`fix`: {name} of {law.name} goes with the units of n and d; fix exponents or floors")
            if isinstance(other, str):
                two = parameters[names.index(other)]
                if two.role != one.role or name == other:
                    raise BadInput(f"`fix`: {name} and {other} of {law.name} are of different kinds, or the same")
                tied[name] = other
            else:
                offset[names.index(name)] = _coordinate(one, float(other), units, law.name)
        held = {name for name, other in fixes.items() if not isinstance(other, str)}
        free = [name for name in names if name not in tied and name not in held]
        matrix = np.zeros((len(names), len(free)))
        for k, name in enumerate(names):
            root, seen = name, {name}
            while root in tied:
                root = tied[root]
                if root in seen:
                    raise BadInput(f"`fix`: {name} is tied to itself")
                seen.add(root)
            if root in held:
                offset[k] = offset[names.index(root)]
            else:
                matrix[k, free.index(root)] = 1.0
        found = cls(law, matrix, offset)
        found.name, found.required, found.optional = law.name, law.required, law.optional  # type: ignore[misc]
        found.data_seen, found.polished = law.data_seen, max(law.polished, 8)  # type: ignore[misc]
        return found

    def expanded(self, coords: FloatArray) -> FloatArray:
        """Return the law's own coordinates (…, P)."""
        with np.errstate(invalid="ignore"):
            moved = np.where(np.isneginf(coords), NO_FLOOR, coords) @ self.matrix.T + self.offset
        return np.where(moved <= NO_FLOOR, -np.inf, moved)

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return the parameters that are free."""
        every = self.law.parameters(axes)
        return tuple(every[int(np.argmax(self.matrix[:, k]))] for k in range(self.matrix.shape[1]))

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        """Return the law's terms, their slopes added up over what is tied."""
        found = []
        for term in self.law.terms(coords @ self.matrix.T + self.offset, log_axes):
            part = self.matrix[np.array(term.slots)]
            slots = np.flatnonzero(part.any(axis=0))
            slopes = np.einsum("sm,bsr->bmr", part[:, slots], term.slopes)
            bends = {} if term.bends and not np.array_equal(part[:, slots], np.eye(len(slots))) else term.bends
            if slots.size:
                found.append(Term(term.value, tuple(slots.tolist()), slopes, bends))
            else:
                found.append(Term(term.value, (0,), np.zeros((1, 1, term.value.shape[1]))))
        return found

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Refuse: `expanded` coordinates are shifted by the law itself."""
        raise NotImplementedError("shift what `expanded` returns by the law")

    def starts(self, sample: Sample) -> FloatArray:
        """Return the law's starts, of which tied coordinates take the mean."""
        starts = self.law.starts(sample)
        spread = np.random.default_rng(0).normal(0, SPREAD, (2, *starts.shape))
        every = np.concatenate([starts, *(starts + moved for moved in spread)])
        found: FloatArray = every @ (self.matrix / self.matrix.sum(axis=0))
        return found

    def box(self, axes: Collection[str]) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the free coordinates: the narrowest of what is tied."""
        lower, upper = self.law.box(axes)
        of = self.matrix.astype(bool)
        return (
            np.array([lower[of[:, k]].max() for k in range(of.shape[1])]),
            np.array([upper[of[:, k]].min() for k in range(of.shape[1])]),
        )


def _coordinate(parameter: Parameter, value: float, units: Units, law: str) -> float:
    if not parameter.positive:
        return value
    if value < 0 or (value == 0 and parameter.role != "floor"):
        raise BadInput(f"`fix`: {parameter.name} of {law} must be above 0, not {value:g}")
    if value == 0:
        return NO_FLOOR
    return float(np.log(value)) - (units.loss if parameter.role == "floor" else 0.0)
