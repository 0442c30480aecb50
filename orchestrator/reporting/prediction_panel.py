"""The right panel: predicted against measured, on rows that the fit has seen and on rows held out from it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from orchestrator.fitting import FitReport, LawFit, fit
from orchestrator.fitting.axes import AXES, FloatArray, Mask
from orchestrator.fitting.holdout import HoldOut, held_out_rows
from orchestrator.fitting.law import Law
from orchestrator.reporting.log_axis import padded, scale_log
from orchestrator.reporting.points import SIZE_COLOURS, Points
from orchestrator.spec.registries import LAWS

GREEK: Final = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "zeta": "ζ", "eta": "η"}
GREY: Final = "0.35"
SMALL: Final = 9
#: Sentences shown where nothing could be fitted.
MOST_SENTENCES: Final = 3
#: Share of the panel, in width and height, that its text and its legend may cover.
CORNER: Final = 0.45


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predicted target of each row, shape (rows,), and the rows held out from the fit that predicts; None if none."""

    values: FloatArray
    held: Mask | None


def predictions(points: Points, law: LawFit, hold_out: HoldOut) -> Predictions:
    """Predict every row by a second fit without the held-out rows, where the law has a held-out error.

    That fit is the one behind ``law.held_out_rmse_log``, which is thus the spread of the held-out rows about 1:1.
    Without it, rows are predicted by the fit to all of them.
    """
    if law.held_out_rmse_log is not None:
        axes = {axis: points.columns[axis] for axis in AXES if axis in points.columns and axis != points.target}
        held = held_out_rows(axes, hold_out)
        if held is not None:
            rest = fit(
                points.table.filter(~held), target=points.target, laws=[law.law], hold_out="none", bootstrap=0
            ).fits.get(law.law)
            if rest is not None:
                return Predictions(rest.predict(points.table), held)
    return Predictions(law.predict(points.table), None)


def draw_predictions(axes: Axes, points: Points, law: LawFit, predicted: Predictions) -> None:
    """Draw predicted against measured with the 1:1 line, held-out rows hollow, and the law's figures."""
    limits = padded(np.concatenate([points.measured, predicted.values]))
    axes.plot(limits, limits, color="0.6", linewidth=1.0, zorder=1)
    held = np.zeros(points.table.num_rows, dtype=bool) if predicted.held is None else predicted.held
    for marker, rows in points.by_marker():
        for part, hollow in ((rows & ~held, False), (rows & held, True)):
            colours = SIZE_COLOURS(points.shade[part])
            axes.scatter(
                points.measured[part],
                predicted.values[part],
                marker=marker,
                facecolors="none" if hollow else colours,
                edgecolors=colours if hollow else "white",
                linewidths=1.2 if hollow else 0.4,
                **points.style,
            )
    scale_log(axes, "x", limits)
    scale_log(axes, "y", limits)
    axes.set_box_aspect(1)
    name = points.target.replace("_", " ")
    axes.set_xlabel(f"measured {name}", parse_math=False)
    axes.set_ylabel(f"predicted {name}", parse_math=False)
    heading = (
        "predicted by the fit to all points" if predicted.held is None else "predicted by the fit to filled points"
    )
    axes.set_title(heading, fontsize=10, loc="left")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    _add_facts(axes, points, law, predicted)


def say_no_law(axes: Axes, report: FitReport) -> None:
    """Write ``no law fitted`` and the reasons where the predictions would be."""
    axes.set_axis_off()
    reasons = [textwrap.fill(reason, 52) for reason in report.warnings if reason != "no law could be fitted"]
    text = "\n\n".join(["no law fitted", *reasons[:MOST_SENTENCES]])
    axes.text(0.0, 0.95, text, transform=axes.transAxes, va="top", fontsize=SMALL, parse_math=False)


def facts(law: LawFit) -> str:
    """Return the law's name, its exponents with 90 % intervals and its errors, one a line."""
    form: Law = LAWS.load(law.law)()
    lines = [f"{law.law} law, {law.n_rows:,} rows"]
    lines += _exponents(law, [p.name for p in form.parameters(law.axes) if p.role == "exponent"])
    error = law.held_out_rmse_log
    lines.append("no held-out error" if error is None else f"held-out RMSE(log) = {error:.3g}")
    return "\n".join(lines)


def _exponents(law: LawFit, names: Sequence[str]) -> list[str]:
    lines = []
    for name in names:
        estimate, symbol = law.params[name], GREEK.get(name, name)
        if estimate.value is None:
            lines.append(f"{symbol} not identified")
        elif estimate.lo is None or estimate.hi is None:
            lines.append(f"{symbol} = {estimate.value:.3f}")
        else:
            lines.append(f"{symbol} = {estimate.value:.3f}  [{estimate.lo:.3f}, {estimate.hi:.3f}]")
    return ["exponents of all rows [90 % interval]:", *lines] if lines else []


def _add_facts(axes: Axes, points: Points, law: LawFit, predicted: Predictions) -> None:
    """Put the text into the emptier of the two corners off the diagonal and the legend into the other."""
    across, up = (_share_of_span(axes.get_xlim(), values) for values in (points.measured, predicted.values))
    above = np.count_nonzero((across < CORNER) & (up > 1 - CORNER))
    below = np.count_nonzero((across > 1 - CORNER) & (up < CORNER))
    text_above = above <= below
    x, y, horizontal, vertical = (0.03, 0.97, "left", "top") if text_above else (0.97, 0.03, "right", "bottom")
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2.0}
    axes.text(
        x,
        y,
        facts(law),
        transform=axes.transAxes,
        ha=horizontal,
        va=vertical,
        fontsize=SMALL,
        linespacing=1.35,
        bbox=box,
        parse_math=False,
    )
    handles = [Line2D([], [], color="0.6", linewidth=1.0, label="1:1")]
    if predicted.held is not None:
        handles = [
            Line2D([], [], linestyle="", marker="o", color=GREY, label="fitted"),
            Line2D([], [], linestyle="", marker="o", color=GREY, fillstyle="none", label="held out"),
            *handles,
        ]
    axes.legend(handles=handles, loc="lower right" if text_above else "upper left", fontsize=SMALL, frameon=False)


def _share_of_span(limits: tuple[float, float], values: FloatArray) -> FloatArray:
    lo, hi = np.log(limits)
    share: FloatArray = (np.log(values) - lo) / (hi - lo)
    return share
