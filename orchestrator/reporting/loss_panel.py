"""The left panel: what was measured, and the best law's curves through it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from orchestrator.fitting import LawFit
from orchestrator.fitting.average.fit import AVERAGE
from orchestrator.fitting.axes import MEANING, varies
from orchestrator.reporting.curves import curves, epochs_with_curve
from orchestrator.reporting.legends import LINES, axis_label, name_epochs, name_sizes
from orchestrator.reporting.log_axis import padded, scale_log
from orchestrator.reporting.points import SIZE_COLOURS, Points
from orchestrator.reporting.short_numbers import short_number


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
    for marker, rows in points.by_marker():
        colours = SIZE_COLOURS(points.shade[rows])
        axes.scatter(
            points.across[rows],
            points.measured[rows],
            c=colours,
            marker=marker,
            linewidths=0.4,
            edgecolors="white",
            **points.style,
        )
    scale_log(axes, "x", padded(points.across))
    scale_log(axes, "y", padded(np.concatenate(shown)))
    axes.set_xlabel(d_label if points.x == "d" else axis_label(points.x), parse_math=False)
    axes.set_ylabel(points.target.replace("_", " "), parse_math=False)
    axes.set_title(_heading(points, law), fontsize=10, loc="left", parse_math=False)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    name_sizes(axes, points)
    name_epochs(axes, points, levels if law is not None else [])


def _heading(points: Points, law: LawFit | None) -> str:
    """What is drawn, and the values of axes that the panel does not show."""
    fixed: list[str] = []
    moving: list[str] = []
    for axis in points.unseen:
        values = points.axes[axis]
        (moving if varies(values) else fixed).append(f"{MEANING[axis]} = {short_number(values.max())}")
    places = [f"at {', '.join(fixed)}"] if fixed else []
    places += [f"curves at {', '.join(moving)}"] if moving and law is not None else []
    what = "measured" if law is None else f"measured, and the {law.law}" + ("" if law.law == AVERAGE else " law")
    return f"{what}\n({'; '.join(places)})" if places else what
