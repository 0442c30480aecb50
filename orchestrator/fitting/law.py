"""The seam behind which a scaling law stands.

A law says which axes it needs, which parameters it has, what loss it predicts and how it is estimated. Estimation
and intervals speak to it in *coordinates*: the logarithm of a parameter that must be positive, the exponent itself.

Guarantees of every law (one conformance suite checks them all):

- `log_loss` and `slopes` are pure, vectorised over parameter sets, and agree: slopes are the exact derivatives.
- Changing the unit of an axis or of the loss changes no prediction: `shift` gives the parameters in the new units.
- `solve` is deterministic, and gives back the law's own parameters from noiseless data.
- `resolve` solves many weightings of the rows at once, starting from a solution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np

from orchestrator.fitting.axes import MEANING, FloatArray, Mask, distinct
from orchestrator.fitting.sample import LogAxes, Sample

#: Rows among which enough distinct points are looked for before all rows are.
ROWS_FOR_POINTS: Final = 10_000

#: An exponent grows with quality; a power may have either sign.
Role = Literal["floor", "factor", "exponent", "power", "saturation"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A law's parameter: its name, what it does, and the axes whose values tell it."""

    name: str
    role: Role
    axes: tuple[str, ...] = ()

    @property
    def positive(self) -> bool:
        """True where the coordinate is the logarithm of the value."""
        return self.role not in ("exponent", "power")


class Law(ABC):
    """A parametric form of the loss; see the module's guarantees."""

    name: ClassVar[str]
    #: Axes without which there is no law.
    required: ClassVar[tuple[str, ...]]
    #: Axes used where they vary.
    optional: ClassVar[tuple[str, ...]] = ()
    #: Varying axes below which it is the same as another law.
    fewest_axes: ClassVar[int] = 1
    #: True: `d` is data seen in total; False: `d` is unique data, with `e` beside it.
    data_seen: ClassVar[bool]
    #: True where the law also holds for a quality that grows (accuracy = 1/loss of the form).
    fits_quality: ClassVar[bool] = False
    #: False where it holds for such a quality alone.
    fits_loss: ClassVar[bool] = True
    #: True where it is fitted by least squares, in closed form.
    least_squares: ClassVar[bool] = False

    @abstractmethod
    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        """Return the P parameters on these axes, in the order of every array below."""

    @abstractmethod
    def log_loss(self, coords: FloatArray, log_axes: LogAxes) -> FloatArray:
        """Return log L, shape (B, rows), for coordinates of shape (B, P)."""

    @abstractmethod
    def slopes(self, coords: FloatArray, log_axes: LogAxes) -> FloatArray:
        """Return d log L / d coordinates, shape (B, P, rows)."""

    @abstractmethod
    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        """Return the coordinates (B, P) for axes multiplied by ``exp(log_units)`` and loss by its own unit."""

    @abstractmethod
    def solve(self, sample: Sample) -> FloatArray:
        """Return the best coordinates, shape (P,)."""

    @abstractmethod
    def resolve(self, sample: Sample, coords: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the best coordinates (B, P) from a solution (P,); NaN where singular.

        Parameters
        ----------
        weights
            Shape (B, rows); they multiply those of the sample.
        """

    def solve_parts(self, sample: Sample, parts: Sequence[Mask]) -> list[FloatArray]:
        """Return the best coordinates (P,) of some parts of a sample, each searched for from nothing."""
        return [self.solve(sample.part(part)) for part in parts]

    def box(self, axes: Collection[str]) -> tuple[FloatArray, FloatArray]:
        """Return the bounds (lower, upper), each (P,), within which a sample's coordinates are searched."""
        count = len(self.parameters(axes))
        return np.full(count, -np.inf), np.full(count, np.inf)

    def obstacle(self, log_axes: LogAxes) -> str | None:
        """Say why these rows can't carry the law and which cells would, or None where they can."""
        for axis in self.required:
            if distinct(np.exp(log_axes[axis])) < 2:
                return f"{MEANING[axis]} ({axis}) has one value only; add cells with at least two more values of {axis}"
        count = len(self.parameters(log_axes))
        places = np.round(np.column_stack(list(log_axes.values())), 9)
        rows = len(places)
        points = len(np.unique(places[:ROWS_FOR_POINTS], axis=0))
        if points < count < rows:
            points = len(np.unique(places, axis=0))
        if rows <= count or points < count:
            return (
                f"it has {count} parameters and the table {rows} rows at {points} distinct points; "
                f"add cells until there are at least {count + 1} rows at {count} points"
            )
        return None

    def to_coords(self, params: FloatArray, axes: Collection[str]) -> FloatArray:
        """Turn parameter values (..., P) into coordinates; a factor of zero becomes -inf."""
        positive = np.array([p.positive for p in self.parameters(axes)])
        with np.errstate(divide="ignore"):
            return np.where(positive, np.log(np.where(positive, params, 1.0)), params)

    def from_coords(self, coords: FloatArray, axes: Collection[str]) -> FloatArray:
        """Turn coordinates (..., P) into parameter values; the inverse of `to_coords`."""
        positive = np.array([p.positive for p in self.parameters(axes)])
        with np.errstate(over="ignore"):
            return np.where(positive, np.exp(np.where(positive, coords, 0.0)), coords)

    def predict(self, params: FloatArray, axes: Mapping[str, FloatArray]) -> FloatArray:
        """Return the loss of each row, shape (rows,), for parameter values (P,) and axes in their own units."""
        log_axes = {k: np.log(v) for k, v in axes.items()}
        result: FloatArray = np.exp(self.log_loss(self.to_coords(params, axes)[None], log_axes)[0])
        return result

    def gradient(self, params: FloatArray, axes: Mapping[str, FloatArray]) -> FloatArray:
        """Return d loss / d parameter, shape (rows, P), at positive factors and floor."""
        log_axes = {k: np.log(v) for k, v in axes.items()}
        coords = self.to_coords(params, axes)[None]
        positive = np.array([p.positive for p in self.parameters(axes)])
        loss = np.exp(self.log_loss(coords, log_axes)[0])
        slopes = self.slopes(coords, log_axes)[0] / np.where(positive, params, 1.0)[:, None]
        result: FloatArray = (loss * slopes).T
        return result
