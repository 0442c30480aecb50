"""The figure of a fit, and saving it as PNG, SVG or PDF."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from orchestrator.errors import BadInput
from orchestrator.fitting import FitReport
from orchestrator.fitting.validation import HoldOut
from orchestrator.reporting.loss_panel import draw_loss
from orchestrator.reporting.points import Points
from orchestrator.reporting.prediction_panel import draw_predictions, say_no_law
from orchestrator.reporting.predictions import predictions

SUFFIXES: Final = (".png", ".svg", ".pdf")
SIZE_INCHES: Final = (11.5, 5.2)
#: Gives a PNG 1,840 pixels wide.
DOTS_PER_INCH: Final = 160
LONGEST_TITLE: Final = 100
#: Without a date the same figure gives the same bytes.
_METADATA: Final[dict[str, dict[str, Any]]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def scaling_figure(
    axes: pa.Table,
    report: FitReport,
    *,
    title: str,
    target: str = "loss",
    d_label: str = "data D",
    hold_out: HoldOut = "largest",
) -> Figure:
    """Draw what was measured with the best law through it, and predicted against measured.

    Left: the target against d (against n, or the first axis that varies, where d does not), both logarithmic; colour
    tells N, marker and line style tell epochs. Right: every row as predicted by a fit without the held-out rows, which
    are hollow. Where no law was fitted the points stand alone.

    Parameters
    ----------
    axes
        What was fitted: columns among ``n, d, e, ft_d, ft_e, eps, unique_d`` and the target.
    report
        Its fit; ``report.best`` is drawn.
    title
        What the points are.
    target
        Column predicted: a loss, or a quality such as accuracy.
    d_label
        Label of the data axis, with its unit.
    hold_out
        As the fit was told, so that the rows drawn hollow are those behind its held-out error.

    Raises
    ------
    BadInput
        If a column is missing or holds anything but positive numbers.
    """
    points = Points.read(axes, target)
    layout = ConstrainedLayoutEngine(wspace=0.04, w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout=layout)
    left, right = figure.subplots(1, 2, width_ratios=[1.45, 1.0])
    draw_loss(left, points, report.best, d_label=d_label)
    if report.best is None:
        say_no_law(right, report)
    else:
        draw_predictions(right, points, report.best, predictions(points, report.best, hold_out))
    shown = title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"
    figure.suptitle(shown, fontsize=12, fontweight="bold", parse_math=False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # solved once: drawn again, the solver would move everything by a hair
    return figure


def save_figure(fig: Figure, path: str | Path) -> None:
    """Write a figure in the format that the suffix names; a file that is there is replaced once the figure is drawn.

    Raises
    ------
    BadInput
        If the suffix is none of `SUFFIXES` or the path can't be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"{path}: unknown suffix {suffix or '(none)'!r}; write {', '.join(SUFFIXES)}")
    drawn = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scalaw", "pdf.fonttype": 42}):
        fig.savefig(drawn, format=suffix[1:], dpi=DOTS_PER_INCH, metadata=_METADATA.get(suffix))
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise BadInput(
            f"{path} can't be written: {error.strerror}; name a file in a folder that exists and is yours"
        ) from error
