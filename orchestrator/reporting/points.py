"""Measured rows as a figure shows them: what runs along the x axis, which colour and which marker a row has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from matplotlib import colormaps
from matplotlib.colors import Colormap, LinearSegmentedColormap

from orchestrator.fitting.axes import AXES, FloatArray, Mask, varies
from orchestrator.fitting.check import check_table

#: The first of these that varies runs along the x axis.
X_AXES: Final = ("d", "n", "e", "ft_d", "ft_e", "eps", "unique_d")
#: With more sizes than this, a colour bar replaces the legend and some sizes alone get a curve.
MOST_SIZES: Final = 12
SIZES_WITH_CURVE: Final = 6
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
#: With more rows than this, markers are small and are drawn as pixels in vector files.
MANY_ROWS: Final = 2000


def _size_colours() -> Colormap:
    """Viridis without its lightest end, which is lost on white."""
    return LinearSegmentedColormap.from_list("sizes", colormaps["viridis"](np.linspace(0.0, 0.88, 256)))


SIZE_COLOURS: Final = _size_colours()


@dataclass(frozen=True, kw_only=True)
class Points:
    """The rows of a figure.

    Parameters
    ----------
    table
        What was fitted.
    axes
        Its axes, each of shape (rows,).
    target
        Column that the law predicts.
    measured
        The target of each row, shape (rows,).
    x
        Axis that runs along x.
    """

    table: pa.Table
    axes: Mapping[str, FloatArray]
    target: str
    measured: FloatArray
    x: str

    @classmethod
    def read(cls, table: pa.Table, target: str) -> Points:
        """Return the points of a table.

        Raises
        ------
        BadInput
            As `check_table`: a column is missing or holds anything but positive numbers.
        """
        axes = check_table(table, target)
        measured = axes.pop(target)
        there = [axis for axis in X_AXES if axis in axes]
        x = next((axis for axis in there if varies(axes[axis])), there[0])
        return cls(table=table, axes=axes, target=target, measured=measured, x=x)

    @property
    def across(self) -> FloatArray:
        """The x of each row, shape (rows,)."""
        return self.axes[self.x]

    @cached_property
    def sizes(self) -> FloatArray:
        """Distinct model sizes N that colour tells apart, ascending; empty where N is on the x axis or not there."""
        return np.unique(self.axes["n"]) if "n" in self.axes and self.x != "n" else np.zeros(0)

    @cached_property
    def epochs(self) -> FloatArray:
        """Distinct epochs E that markers tell apart, ascending; empty where E is on the x axis or not there."""
        return np.unique(self.axes["e"]) if "e" in self.axes and self.x != "e" else np.zeros(0)

    @property
    def unseen(self) -> list[str]:
        """Axes with neither place, colour nor marker; of one value, or varying unseen."""
        marked = {"e"} if self.epochs.size > 1 else set()
        return [axis for axis in AXES if axis in self.axes and axis not in {self.x, "n"} | marked]

    @cached_property
    def shade(self) -> FloatArray:
        """Place of each row's size on the colour scale, 0 to 1, shape (rows,): by rank, or by log N if many."""
        if self.sizes.size < 2:
            return np.full(self.table.num_rows, 0.3)
        if self.sizes.size <= MOST_SIZES:
            place = np.searchsorted(self.sizes, self.axes["n"]).astype(np.float64)
        else:
            place = np.log(self.axes["n"] / self.sizes[0])
        shade: FloatArray = place / place.max()
        return shade

    def shade_of(self, size: float) -> float:
        """Return the place of one of the sizes on the colour scale."""
        return float(self.shade[int(np.argmax(self.axes["n"] == size))])

    @property
    def marker_levels(self) -> FloatArray:
        """Epochs that have a marker of their own; empty where there are none or too many."""
        return self.epochs if 1 < self.epochs.size <= len(MARKERS) else np.zeros(0)

    def by_marker(self) -> list[tuple[str, Mask]]:
        """Return each marker with the mask of its rows, shape (rows,)."""
        if not self.marker_levels.size:
            return [(MARKERS[0], np.ones(self.table.num_rows, dtype=bool))]
        return [(MARKERS[k], self.axes["e"] == level) for k, level in enumerate(self.marker_levels)]

    @property
    def style(self) -> dict[str, Any]:
        """Keywords of ``scatter`` that depend on how many rows there are."""
        many = self.table.num_rows > MANY_ROWS
        return {"s": 9 if many else 30, "alpha": 0.5 if many else 0.9, "rasterized": many}
