"""What tells sizes and epochs apart in the left panel, named where it hides no point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from orchestrator.fitting.axes import MEANING
from orchestrator.reporting.log_axis import log_ticks
from orchestrator.reporting.points import MARKERS, MOST_SIZES, SIZE_COLOURS, Points
from orchestrator.reporting.short_numbers import short_number, short_numbers

#: Lines of the epoch counts that have a curve.
LINES: Final = ("-", "--", ":")
GREY: Final = "0.35"
#: Size of the text inside a panel, in points.
SMALL: Final = 9


def axis_label(axis: str) -> str:
    """Return what an axis is, N with its unit."""
    return MEANING[axis] + (" (parameters)" if axis == "n" else "")


def name_sizes(axes: Axes, points: Points) -> None:
    """Say which colour is which N: a legend, or a colour bar where there are many sizes."""
    if points.sizes.size > MOST_SIZES:
        norm = LogNorm(points.sizes[0], points.sizes[-1])
        bar = axes.figure.colorbar(ScalarMappable(norm, SIZE_COLOURS), ax=axes, pad=0.02, aspect=30)
        ticks = log_ticks(points.sizes[0], points.sizes[-1])
        bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
        bar.ax.yaxis.set_major_formatter(FixedFormatter([short_number(tick) for tick in ticks]))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.set_label(axis_label("n"))
    elif points.sizes.size:
        handles = [
            Line2D([], [], color=SIZE_COLOURS(points.shade_of(size)), linewidth=4, label=label)
            for size, label in zip(points.sizes, short_numbers(points.sizes), strict=True)
        ]
        _beside(axes, handles[::-1], "N (parameters)", top=True)


def name_epochs(axes: Axes, points: Points, with_curve: Sequence[float]) -> None:
    """Say which marker and which line is which number of epochs."""
    named = points.marker_levels
    if points.epochs.size < 2 or not (named.size or with_curve):
        return
    levels = named if named.size else np.asarray(with_curve)
    handles = [
        Line2D(
            [],
            [],
            color=GREY,
            marker=MARKERS[k] if named.size else "",
            linestyle=LINES[with_curve.index(level)] if level in with_curve else "",
            linewidth=1.0,
            markersize=6,
            label=label,
        )
        for k, (level, label) in enumerate(zip(levels, short_numbers(levels), strict=True))
    ]
    if points.sizes.size > MOST_SIZES:
        axes.legend(
            handles=handles,
            title="epochs E",
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
            ncols=len(handles),
            frameon=False,
            fontsize=SMALL,
            title_fontsize=SMALL,
        )
    else:
        _beside(axes, handles, "epochs E", top=not points.sizes.size)


def _beside(axes: Axes, handles: list[Line2D], title: str, *, top: bool) -> None:
    """Add a legend to the right of the panel, where it hides nothing."""
    legend = Legend(
        axes,
        handles,
        [str(handle.get_label()) for handle in handles],
        title=title,
        loc="upper left" if top else "lower left",
        bbox_to_anchor=(1.01, 1.0 if top else 0.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=SMALL,
        title_fontsize=SMALL,
        alignment="left",
        handlelength=2.6,
        labelspacing=0.3,
    )
    axes.add_artist(legend)
    legend.set_clip_on(False)  # what is clipped to the panel gets no room in the layout
