"""A law's curves: one for each size and epoch count that is drawn, over the range of the x axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from orchestrator.fitting import LawFit
from orchestrator.fitting.axes import FloatArray
from orchestrator.reporting.points import MOST_SIZES, SIZES_WITH_CURVE, Points

STEPS: Final = 120
#: With at most this many epoch counts each gets a curve, else the smallest and the largest.
MOST_EPOCHS: Final = 3


@dataclass(frozen=True, slots=True)
class Curve:
    """The law's target y over x, each of shape (STEPS,), at one size and one epoch count (None: not an axis)."""

    size: float | None
    epochs: float | None
    x: FloatArray
    y: FloatArray


def sizes_with_curve(points: Points) -> list[float]:
    """Return the sizes that get a curve: all, or some at equal distances in log N."""
    sizes = points.sizes
    if sizes.size <= MOST_SIZES:
        return [float(size) for size in sizes]
    wanted = np.linspace(np.log(sizes[0]), np.log(sizes[-1]), SIZES_WITH_CURVE)
    nearest = {int(np.abs(np.log(sizes) - level).argmin()) for level in wanted}
    return [float(sizes[k]) for k in sorted(nearest)]


def epochs_with_curve(points: Points) -> list[float]:
    """Return the epoch counts that get a curve."""
    epochs = points.epochs
    return [float(e) for e in (epochs if epochs.size <= MOST_EPOCHS else epochs[[0, -1]])]


def curves(points: Points, law: LawFit) -> Iterator[Curve]:
    """Yield the law's curves; axes with neither place, colour nor marker are held at their largest value."""
    across = np.geomspace(points.across.min(), points.across.max(), STEPS)
    at = {axis: float(values.max()) for axis, values in points.axes.items()}
    all_sizes: list[float | None] = [*sizes_with_curve(points)] or [None]
    all_epochs: list[float | None] = [*epochs_with_curve(points)] or [None]
    for size in all_sizes:
        for epochs in all_epochs:
            if size is not None:
                at["n"] = size
            if epochs is not None:
                at["e"] = epochs
            columns = {axis: np.full(STEPS, value) for axis, value in at.items()} | {points.x: across}
            yield Curve(size, epochs, across, law.predict(pa.table(columns)))
