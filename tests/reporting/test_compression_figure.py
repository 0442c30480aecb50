"""The figure of compressed models, and its Pareto frontiers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console

from orchestrator.reporting.compression_figure import OTHER, STYLES, compression_figure, frontiers
from orchestrator.reporting.optimum_table import measured_table, optimum_text
from orchestrator.reporting.pareto import pareto
from orchestrator.store.schema import ROW_SCHEMA, row_table

Variant = tuple[str | None, float, int, float | None]
VARIANTS: list[Variant] = [
    (None, 2.0, 40_000, 2e-3),
    ("quantize", 2.1, 10_000, 2.2e-3),
    ("prune", 2.5, 20_000, 1e-3),
    ("low_rank", 2.2, 20_000, 1.5e-3),
    ("distill", 2.6, 12_000, 0.8e-3),
    ("chain", 3.0, 5_000, 1.8e-3),
]


def table(variants: Sequence[Variant] = VARIANTS) -> pa.Table:
    rows = [
        row_table({"cell_id": f"{k}", "compression_method": m, "val_loss": loss, "model_bytes": b, "latency_p50_s": s})
        for k, (m, loss, b, s) in enumerate(variants)
    ]
    return pa.concat_tables(rows) if rows else ROW_SCHEMA.empty_table()


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


@pytest.fixture(scope="module")
def figure() -> Figure:
    return compression_figure(table(), title="a sweep: text")


def test_the_frontier_is_what_no_other_cell_beats_on_both_counts():
    cost = np.array([4.0, 1.0, 2.0, 3.0, 1.0, 3.0])
    loss = np.array([1.0, 3.0, 2.0, 2.0, 4.0, 1.5])
    assert pareto(cost, loss).tolist() == [1, 2, 5, 0]
    assert pareto(np.zeros(0), np.zeros(0)).tolist() == []
    rng = np.random.default_rng(0)
    cost, loss = rng.random(200), rng.random(200)
    beaten = ((cost[None] <= cost[:, None]) & (loss[None] < loss[:, None])).any(axis=1)
    assert sorted(pareto(cost, loss)) == np.flatnonzero(~beaten).tolist()


def test_each_panel_has_its_own_frontier(figure: Figure):
    assert frontiers(table()) == {"model_bytes": ["5", "1", "0"], "latency_p50_s": ["4", "2", "3", "0"]}
    by_bytes, by_latency = (panel.lines[0] for panel in figure.axes)
    assert by_bytes.get_xdata()[:3] == pytest.approx([5_000, 10_000, 40_000])
    assert by_bytes.get_ydata()[:3] == pytest.approx([3.0, 2.1, 2.0])
    assert by_latency.get_xdata()[:4] == pytest.approx([0.8, 1.0, 1.5, 2.0]), "milliseconds"
    assert by_bytes.get_drawstyle() == "steps-post"


def test_axes_are_logarithmic_and_named(figure: Figure):
    assert [(panel.get_xscale(), panel.get_yscale()) for panel in figure.axes] == [("log", "log")] * 2
    assert {"model file (bytes)", "latency at batch 1, median (ms)", "validation loss", "10k"} <= set(texts(figure))
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_parents_are_hollow_and_every_method_has_its_colour(figure: Figure):
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["uncompressed", "quantize", "prune", "low rank", "distill", "chain", "Pareto frontier"]
    for panel in figure.axes:
        hollow = [c for c in panel.collections if len(c.get_facecolor()) == 0]
        assert [c.get_offsets().shape for c in hollow] == [(1, 2)]
        filled = {to_hex(c.get_facecolor()[0][:3]).upper() for c in panel.collections if len(c.get_facecolor())}
        assert filled == {STYLES[m][0] for m, *_ in VARIANTS if m}
    assert figure.axes[0].collections[-1].get_offsets()[0].tolist() == [40_000, 2.0], "parents are drawn on top"


def test_the_legend_hides_no_panel_and_text_is_legible(figure: Figure):
    box = figure.legends[0].get_window_extent()
    assert not any(box.overlaps(panel.get_tightbbox()) for panel in figure.axes)
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 8


def test_a_cell_without_latency_stands_on_the_left_alone():
    rows = table([*VARIANTS, ("quantize", 1.9, 3_000, None)])
    figure = compression_figure(rows, title="")
    left, right = (sum(len(c.get_offsets()) for c in panel.collections) for panel in figure.axes)
    assert (left, right) == (7, 6)
    none = compression_figure(table([(m, loss, b, None) for m, loss, b, _ in VARIANTS]), title="")
    assert "no cell has a value of latency_p50_s" in texts(none)


def test_one_cell_and_a_method_of_another_package_are_drawn():
    assert "10k" in texts(compression_figure(table([(None, 2.0, 10_000, 1e-3)]), title="one"))
    figure = compression_figure(table([(None, 2.0, 10_000, 1e-3), ("codebook", 2.2, 900, 1e-3)]), title="two")
    assert "codebook" in texts(figure)
    filled = [c for c in figure.axes[0].collections if len(c.get_facecolor())]
    assert to_hex(filled[0].get_facecolor()[0][:3]).upper() == OTHER[0]


def test_a_title_is_text_and_never_a_formula():
    assert compression_figure(table(), title=r"$\frac" + "x" * 200).get_suptitle() == r"$\frac" + "x" * 93 + "…"


def rendered(renderable: Any) -> str:
    output = io.StringIO()
    Console(file=output, width=120).print(renderable)
    return output.getvalue()


def test_an_end_without_a_number_reads_open():
    interval = {"value": 25_000.0, "lo": 12_000.0, "hi": None}
    document = {
        "flops": 1e12, "law": "chinchilla", "flops_per_nde": 6.0, "served_tokens": 2e6, "d_means": "unique tokens",
        "target": "loss", "n": interval, "d": interval, "e": {"value": 1.0, "lo": None, "hi": None}, "loss": interval,
    }  # fmt: skip
    text = rendered(optimum_text(document))
    assert "n     25k [12k, open]" in text
    assert "e     1 epochs" in text
    assert "serving 2M tokens" in text


def test_the_best_cell_stands_beside_the_runner_up_and_no_id_is_broken():
    cell = {"cell_id": "a" * 64, "loss": 2.0, "n": 1000, "ft_d": None, "compression": None, "model_bytes": 500}
    text = rendered(measured_table({"best": cell, "runner_up": {**cell, "loss": 2.5, "compression": "4 bits"}}))
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if len(line.split()) > 2}
    assert lines["cell_id"] == ["a" * 12, "a" * 12]
    assert lines["loss"] == ["2", "2.5"]
    assert lines["compression"] == ["none", "4", "bits"]
    assert lines["model_bytes"] == ["500", "500"]
    assert "ft_d" not in text
