"""The left panel: what was measured, and the best law's curves through it."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from orchestrator.fitting import LawFit
from orchestrator.fitting.axes import MEANING
from orchestrator.reporting.curves import curves, epochs_with_curve
from orchestrator.reporting.log_axis import log_ticks, padded, scale_log
from orchestrator.reporting.short_numbers import short_number, short_numbers
from orchestrator.reporting.points import MARKERS, MOST_SIZES, SIZE_COLOURS, Points

LINES: Final = ("-", "--", ":")
GREY: Final = "0.35"
SMALL: Final = 9


def draw_loss(axes: Axes, points: Points, law: LawFit | None, *, d_label: str) -> None:
    """Draw the target against data (or the first axis that varies): colour by N, marker by epochs, thin curves.

    Parameters
    ----------
    axes
        Where to draw.
    points, law
        What was measured, and the law of the curves; None draws the points alone.
    d_label
        Label of the data axis, with its unit.
    """
    shown = [points.measured]
    levels = epochs_with_curve(points)
    for curve in curves(points, law) if law is not None else ():
        colour = SIZE_COLOURS(points.shade[0] if curve.size is None else points.shade_of(curve.size))
        line = "-" if curve.epochs is None else LINES[levels.index(curve.epochs)]
        axes.plot(curve.x, curve.y, line, color=colour, linewidth=1.0, zorder=1)
        shown.append(curve.y)
    x = points.columns[points.x]
    for marker, rows in points.by_marker():
        colours = SIZE_COLOURS(points.shade[rows])
        axes.scatter(
            x[rows], points.measured[rows], c=colours, marker=marker, linewidths=0.4, edgecolors="white", **points.style
        )
    scale_log(axes, "x", padded(x))
    scale_log(axes, "y", padded(np.concatenate(shown)))
    axes.set_xlabel(d_label if points.x == "d" else _axis_label(points.x), parse_math=False)
    axes.set_ylabel(points.target.replace("_", " "), parse_math=False)
    axes.set_title(_heading(points, law), fontsize=10, loc="left", parse_math=False)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    _name_sizes(axes, points)
    _name_epochs(axes, points, levels if law is not None else [])


def _axis_label(axis: str) -> str:
    return MEANING[axis] + (" (parameters)" if axis == "n" else "")


def _heading(points: Points, law: LawFit | None) -> str:
    """What is drawn, and where the curves stand on axes that the panel does not show."""
    if law is None:
        return "measured"
    held = ", ".join(f"{MEANING[a]} = {short_number(points.columns[a].max())}" for a in points.other_axes)
    return f"measured, and the {law.law} law" + (f"\n(curves at {held})" if held else "")


def _name_sizes(axes: Axes, points: Points) -> None:
    """Say which colour is which N: a legend, or a colour bar where there are many sizes."""
    if points.sizes.size > MOST_SIZES:
        norm = LogNorm(points.sizes[0], points.sizes[-1])
        bar = axes.figure.colorbar(ScalarMappable(norm, SIZE_COLOURS), ax=axes, pad=0.02, aspect=30)
        ticks = log_ticks(points.sizes[0], points.sizes[-1])
        bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
        bar.ax.yaxis.set_major_formatter(FixedFormatter([short_number(tick) for tick in ticks]))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.set_label(_axis_label("n"))
    elif points.sizes.size:
        handles = [
            Line2D([], [], color=SIZE_COLOURS(points.shade_of(size)), linewidth=4, label=label)
            for size, label in zip(points.sizes, short_numbers(points.sizes), strict=True)
        ]
        _beside(axes, handles[::-1], "N (parameters)", top=True)


def _name_epochs(axes: Axes, points: Points, with_curve: list[float]) -> None:
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
        axes.legend(handles=handles, title="epochs E", loc="best", fontsize=SMALL, title_fontsize=SMALL)
    else:
        _beside(axes, handles, "epochs E", top=not points.sizes.size)


def _beside(axes: Axes, handles: list[Line2D], title: str, *, top: bool) -> None:
    """Add a legend to the right of the panel, where it hides nothing."""
    corner, y = ("upper left", 1.0) if top else ("lower left", 0.0)
    legend = Legend(
        axes,
        handles,
        [str(handle.get_label()) for handle in handles],
        title=title,
        loc=corner,
        bbox_to_anchor=(1.01, y),
        borderaxespad=0.0,
        frameon=False,
        fontsize=SMALL,
        title_fontsize=SMALL,
        alignment="left",
        handlelength=2.6,
    )
    axes.add_artist(legend)
