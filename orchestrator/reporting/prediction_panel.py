"""The right panel: predicted against measured, on rows that the fit has seen and on rows held out from it."""

from __future__ import annotations

import textwrap
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from orchestrator.fitting import FitReport, LawFit
from orchestrator.fitting.axes import FloatArray, Mask
from orchestrator.reporting.legends import GREY, SMALL
from orchestrator.reporting.log_axis import padded, scale_log
from orchestrator.reporting.points import SIZE_COLOURS, Points
from orchestrator.reporting.predictions import Predictions, facts

#: Sentences shown where nothing could be fitted.
MOST_SENTENCES: Final = 3
#: Width of a letter and height of a line of the text, as shares of the panel; both shrink where there are many lines.
LETTER: Final = 0.017
LINE: Final = 0.044
MANY_LINES: Final = 6
SMALLEST: Final = 8


def draw_predictions(axes: Axes, points: Points, law: LawFit, predicted: Predictions) -> None:
    """Draw predicted against measured with the 1:1 line, held-out rows hollow, and the law's figures."""
    text = facts(law)
    limits = padded(np.concatenate([points.measured, predicted.values]))
    above = _emptier_above(limits, points.measured, predicted.values, text)
    axes.plot(limits, limits, color="0.6", linewidth=1.0, zorder=1)
    held = np.zeros(points.table.num_rows, dtype=bool) if predicted.held is None else predicted.held
    for marker, rows in points.by_marker():
        _scatter(axes, points, predicted, rows & ~held, marker, hollow=False)
        _scatter(axes, points, predicted, rows & held, marker, hollow=True)
    scale_log(axes, "x", limits)
    scale_log(axes, "y", limits)
    axes.set_box_aspect(1)
    name = points.target.replace("_", " ")
    axes.set_xlabel(f"measured {name}", parse_math=False)
    axes.set_ylabel(f"predicted {name}", parse_math=False)
    heading = "predicted by the fit to " + ("all points" if predicted.held is None else "the filled points")
    axes.set_title(heading, fontsize=10, loc="left")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    _write_corners(axes, text, above=above, hollow=predicted.held is not None)


def say_no_law(axes: Axes, report: FitReport) -> None:
    """Write ``no law fitted`` and the reasons where the predictions would be."""
    axes.set_axis_off()
    axes.text(0.0, 0.96, "no law fitted", transform=axes.transAxes, va="top", fontsize=11)
    reasons = (textwrap.shorten(reason, 240, placeholder=" …") for reason in report.reasons[:MOST_SENTENCES])
    text = "\n\n".join(textwrap.fill(reason, 52) for reason in reasons)
    axes.text(0.0, 0.87, text, transform=axes.transAxes, va="top", fontsize=SMALL, parse_math=False)


def _scatter(axes: Axes, points: Points, predicted: Predictions, rows: Mask, marker: str, *, hollow: bool) -> None:
    colours = SIZE_COLOURS(points.shade[rows])
    edges: Any = colours if hollow else "white"
    axes.scatter(
        points.measured[rows],
        predicted.values[rows],
        marker=marker,
        facecolors="none" if hollow else colours,
        edgecolors=edges,
        linewidths=1.2 if hollow else 0.4,
        **points.style,
    )


def _emptier_above(limits: tuple[float, float], measured: FloatArray, predicted: FloatArray, text: str) -> bool:
    """Return whether the text covers fewer points above the diagonal than below it."""
    lines = text.split("\n")
    width, height = LETTER * max(map(len, lines)), LINE * len(lines)
    across, up = (np.log(values / limits[0]) / np.log(limits[1] / limits[0]) for values in (measured, predicted))
    above = np.count_nonzero((across < width) & (up > 1 - height))
    below = np.count_nonzero((across > 1 - width) & (up < height))
    return bool(above <= below)


def _write_corners(axes: Axes, text: str, *, above: bool, hollow: bool) -> None:
    """Put the text into one corner off the diagonal and the legend into the other."""
    axes.text(
        0.03 if above else 0.97,
        0.97 if above else 0.03,
        text,
        transform=axes.transAxes,
        ha="left" if above else "right",
        va="top" if above else "bottom",
        fontsize=SMALLEST if text.count("\n") > MANY_LINES else SMALL,
        linespacing=1.35,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2.0},
        parse_math=False,
    )
    handles = [Line2D([], [], color="0.6", linewidth=1.0, label="1:1")]
    if hollow:
        handles = [
            Line2D([], [], linestyle="", marker="o", color=GREY, label="fitted"),
            Line2D([], [], linestyle="", marker="o", color=GREY, fillstyle="none", label="held out"),
            *handles,
        ]
    axes.legend(handles=handles, loc="lower right" if above else "upper left", fontsize=SMALL, frameon=False)
