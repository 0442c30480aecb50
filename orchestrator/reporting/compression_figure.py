"""The figure of compressed models: what their bytes and their latency cost in loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from orchestrator.fitting.axes import FloatArray
from orchestrator.reporting.figures import DOTS_PER_INCH, LONGEST_TITLE, SIZE_INCHES
from orchestrator.reporting.legends import GREY, SMALL
from orchestrator.reporting.log_axis import padded, scale_log
from orchestrator.reporting.pareto import pareto

PARENT: Final = "uncompressed"
#: Colour (Okabe and Ito's, told apart by the colour-blind) and marker of each method, in the order of the legend.
STYLES: Final = {
    PARENT: ("black", "o"),
    "quantize": ("#0072B2", "s"),
    "prune": ("#D55E00", "^"),
    "low_rank": ("#009E73", "D"),
    "distill": ("#CC79A7", "v"),
    "chain": ("#E69F00", "P"),
}
#: For methods of other packages.
OTHER: Final = ("#56B4E9", "X")
#: Column to the unit of its axis and the label.
PANELS: Final = {
    "model_bytes": (1.0, "model file (bytes)"),
    "latency_p50_s": (1e-3, "latency at batch 1, median (ms)"),
}


def compression_figure(rows: pa.Table, *, title: str) -> Figure:
    """Draw loss against the bytes of the model file and against latency, all axes logarithmic.

    Colour and marker tell the method, hollow circles are the uncompressed parents, the line is the Pareto frontier of
    each panel. A cell whose latency was not measured stands on the left alone.

    Parameters
    ----------
    rows
        Rows of a store of one task, each with ``val_loss`` and ``model_bytes``.
    title
        What the cells are.
    """
    layout = ConstrainedLayoutEngine(wspace=0.03, w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout=layout)
    panels = figure.subplots(1, 2)
    losses = _numbers(rows["val_loss"])
    for panel, column in zip(panels, PANELS, strict=True):
        _draw(panel, rows.filter(pc.is_valid(rows[column])), column)
        scale_log(panel, "y", padded(losses))
        panel.set_ylabel("validation loss" if panel is panels[0] else "")
    methods = _methods(rows)
    named = [name for name in STYLES if name in methods] + sorted(set(methods) - set(STYLES))
    figure.legend(
        handles=_handles(named), loc="outside lower center", ncols=len(named) + 1, frameon=False, fontsize=SMALL
    )
    shown = title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"
    figure.suptitle(shown, fontsize=12, fontweight="bold", parse_math=False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # solved once, as the figure of a fit
    return figure


def frontiers(rows: pa.Table) -> dict[str, list[str]]:
    """Return the ids of the cells on each panel's Pareto frontier, the cheapest first."""
    found: dict[str, list[str]] = {}
    for column in PANELS:
        there = rows.filter(pc.is_valid(rows[column]))
        best = pareto(_numbers(there[column]), _numbers(there["val_loss"]))
        found[column] = there["cell_id"].take(pa.array(best)).to_pylist()
    return found


def _draw(axes: Axes, rows: pa.Table, column: str) -> None:
    """Draw one panel: the frontier, then the compressed cells, then the parents above them."""
    unit, label = PANELS[column]
    axes.set_xlabel(label)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    if rows.num_rows == 0:
        axes.text(0.5, 0.5, f"no cell has a value of {column}", transform=axes.transAxes, ha="center", fontsize=SMALL)
        return
    cost, loss = _numbers(rows[column]) / unit, _numbers(rows["val_loss"])
    best = pareto(cost, loss)
    limits = padded(cost)
    axes.plot(
        [*cost[best], limits[1]], [*loss[best], loss[best[-1]]],
        color=GREY, linewidth=1.2, drawstyle="steps-post", zorder=1,
    )  # fmt: skip
    methods = _methods(rows)
    for name in sorted(set(methods), key=lambda method: method == PARENT):
        at = np.array([method == name for method in methods])
        axes.scatter(cost[at], loss[at], **_style(name))
    scale_log(axes, "x", limits)


def _methods(rows: pa.Table) -> list[str]:
    return [PARENT if method is None else str(method) for method in rows["compression_method"].to_pylist()]


def _style(method: str) -> dict[str, Any]:
    colour, marker = STYLES.get(method, OTHER)
    if method == PARENT:
        return {"marker": marker, "s": 70, "facecolors": "none", "edgecolors": colour, "linewidths": 1.4, "zorder": 3}
    return {"marker": marker, "s": 30, "c": colour, "edgecolors": "white", "linewidths": 0.4, "alpha": 0.9, "zorder": 2}


def _handles(methods: Sequence[str]) -> list[Line2D]:
    handles = [
        Line2D(
            [], [], linestyle="", marker=STYLES.get(name, OTHER)[1], color=STYLES.get(name, OTHER)[0],
            fillstyle="none" if name == PARENT else "full", markersize=8 if name == PARENT else 6,
            label=name.replace("_", " "),
        )
        for name in methods
    ]  # fmt: skip
    return [*handles, Line2D([], [], color=GREY, linewidth=1.2, drawstyle="steps-post", label="Pareto frontier")]


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    numbers: FloatArray = column.cast(pa.float64()).to_numpy()
    return numbers
