"""Logarithmic axes with a handful of ticks that read as plain numbers, whether they span decades or a few per cent."""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from orchestrator.fitting.axes import FloatArray
from orchestrator.reporting.short_numbers import short_number

#: Below this ratio of the limits, ticks at equal steps read better than ticks at powers of ten.
NARROW: Final = 8.0
#: Ticks within a decade, finest first.
MANTISSAS: Final = ((1, 2, 5), (1, 3), (1,))
MOST_TICKS: Final = 7


def padded(values: FloatArray, share: float = 0.06) -> tuple[float, float]:
    """Return limits that leave ``share`` of the logarithmic span (at least 2 % of the value) free on both sides."""
    lo, hi = math.log(values.min()), math.log(values.max())
    room = max(share * (hi - lo), 0.02)
    return math.exp(lo - room), math.exp(hi + room)


def scale_log(axes: Axes, which: Literal["x", "y"], limits: tuple[float, float]) -> None:
    """Make one axis logarithmic between ``limits`` (both above zero), with readable ticks."""
    ticks = log_ticks(*limits)
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([short_number(tick, 10) for tick in ticks]))
    axis.set_minor_locator(NullLocator())
    (axes.set_xlim if which == "x" else axes.set_ylim)(*limits)


def log_ticks(lo: float, hi: float) -> list[float]:
    """Return two to `MOST_TICKS` round numbers between ``lo`` and ``hi``, both above zero."""
    if hi / lo < NARROW:
        candidates = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(lo, hi)
        return [float(f"{tick:.10g}") for tick in candidates if lo <= tick <= hi]
    decades = range(math.floor(math.log10(lo)), math.ceil(math.log10(hi)) + 1)
    ticks: list[float] = []
    for mantissas in MANTISSAS:
        ticks = [m * 10.0**k for k in decades for m in mantissas if lo <= m * 10.0**k <= hi]
        if len(ticks) <= MOST_TICKS:
            return ticks
    return [float(tick) for tick in np.asarray(ticks)[:: math.ceil(len(ticks) / MOST_TICKS)]]
