"""The figure of a fit: what it shows, how it copes with less, and how it is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from orchestrator.errors import BadInput
from orchestrator.fitting import FitReport, fit
from orchestrator.reporting.figures import save_figure, scaling_figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


def drawn(table: pa.Table, *, target: str = "loss", title: str = "runs") -> Figure:
    """The figure of the product law's fit to a table."""
    report = fit(table, laws=["product"], target=target, bootstrap=20)
    return scaling_figure(table, report, title=title, target=target, d_label="data D (unique tokens)")


def offsets(figure: Figure, *, hollow: bool) -> np.ndarray:
    """Measured and predicted of the right panel's filled or hollow points, shape (points, 2)."""
    parts = [part for part in figure.axes[1].collections if len(part.get_offsets())]
    return np.concatenate([p.get_offsets() for p in parts if (len(p.get_facecolor()) == 0) == hollow])


@pytest.fixture(scope="module")
def figure(runs, report: FitReport) -> Figure:
    return scaling_figure(runs(), report, title="sixty runs", d_label="data D (unique tokens)")


def test_it_names_axes_sizes_epochs_and_the_law(figure: Figure, report: FitReport) -> None:
    shown = texts(figure)
    assert {"sixty runs", "data D (unique tokens)", "loss", "measured loss", "predicted loss"} <= set(shown)
    assert {"N (parameters)", "1.1k", "6.3k", "100k", "epochs E", "1", "2", "4"} <= set(shown)
    alpha = report.fits["product"].params["alpha"]
    facts = next(text for text in shown if "RMSE(log)" in text)
    assert f"α = {alpha.value:.3f}  [{alpha.lo:.3f}, {alpha.hi:.3f}]" in facts
    assert f"held-out RMSE(log) {report.fits['product'].held_out_rmse_log:.3g}" in facts


def test_each_size_and_epoch_count_has_the_laws_curve(figure: Figure, report: FitReport) -> None:
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert len(lines) == 5 * 3
    first = lines[0]
    at = pa.table({"n": [1100.0], "d": [first.get_xdata()[40]], "e": [1.0]})
    assert first.get_ydata()[40] == pytest.approx(report.fits["product"].predict(at)[0])


def test_hollow_points_are_the_held_out_rows_as_a_fit_without_them_predicts(
    figure: Figure, report: FitReport, runs
) -> None:
    hollow = offsets(figure, hollow=True)
    table = runs()
    largest = (table["n"].to_numpy() == 100_000) | (table["d"].to_numpy() == 3e6)
    assert sorted(hollow[:, 0]) == pytest.approx(sorted(table["loss"].to_numpy()[largest]))
    rmse = np.sqrt(np.mean(np.log(hollow[:, 1] / hollow[:, 0]) ** 2))
    assert rmse == pytest.approx(report.fits["product"].held_out_rmse_log)
    assert len(offsets(figure, hollow=False)) == 60 - len(hollow)


def test_text_is_legible_and_legends_hide_no_panel(figure: Figure) -> None:
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 8
    left, right = figure.axes
    legends = [child for child in left.get_children() if type(child).__name__ == "Legend"]
    assert len(legends) == 2
    for legend in legends:
        box = legend.get_window_extent()
        assert not box.overlaps(left.get_window_extent())
        assert not box.overlaps(right.get_tightbbox())
        assert box.x1 < figure.bbox.x1
    assert not legends[0].get_window_extent().overlaps(legends[1].get_window_extent())


def test_one_size_has_curves_and_its_name(runs) -> None:
    figure = drawn(runs(n=[6300.0]))
    assert "6.3k" in texts(figure)
    assert len([line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]) == 3


def test_one_data_size_puts_n_on_the_x_axis_and_says_d(runs) -> None:
    shown = texts(drawn(runs(d=[1e5])))
    assert "model size N (parameters)" in shown
    assert "N (parameters)" not in shown
    assert any("at data size D = 100k" in text for text in shown)


def test_a_table_without_epochs_has_no_epochs_legend(runs) -> None:
    figure = drawn(runs(e=[1.0]).drop_columns(["e"]))
    assert not any("epochs" in text for text in texts(figure))
    assert len([line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]) == 5


def test_no_law_leaves_the_points_and_says_why(runs) -> None:
    table = runs(n=[1e3, 3e3], d=[1e5], e=[1.0])
    report = fit(table)
    figure = scaling_figure(table, report, title="two runs")
    assert report.best is None
    assert "no law fitted" in texts(figure)
    assert any("is left out" in " ".join(text.split()) for text in texts(figure))
    assert set(report.warnings) - set(report.reasons) == {"no law could be fitted"}, (
        "what the heading says is no reason"
    )
    assert sum(len(part.get_offsets()) for part in figure.axes[0].collections) == 2
    assert not figure.axes[0].lines


def test_a_single_run_is_drawn() -> None:
    table = pa.table({"n": [1e3], "d": [1e5], "e": [1.0], "loss": [2.0]})
    figure = scaling_figure(table, fit(table), title="one run")
    assert {"no law fitted", "100k", "1k"} <= set(texts(figure))


def test_many_sizes_get_a_colour_bar_and_few_curves(runs) -> None:
    figure = drawn(runs(n=[float(n) for n in np.geomspace(1e3, 1e6, 20)], e=[1.0, 2.0, 4.0, 8.0]))
    assert "model size N (parameters)" in texts(figure)
    assert "N (parameters)" not in texts(figure)
    assert {"1k", "1M", "epochs E", "8"} <= set(texts(figure))
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert len(curves) == 6 * 2, "six sizes, at the smallest and the largest epoch count"


def test_accuracy_is_drawn_as_it_is(runs) -> None:
    table = runs()
    quality = table.drop_columns(["loss"]).append_column("accuracy", pa.array(0.9 / table["loss"].to_numpy()))
    figure = drawn(quality, target="accuracy")
    assert {"accuracy", "measured accuracy", "predicted accuracy"} <= set(texts(figure))
    curve = max(figure.axes[0].lines, key=lambda line: len(line.get_xdata()))
    assert curve.get_ydata()[-1] > curve.get_ydata()[0]


def test_axes_that_have_no_place_are_held_at_their_largest_value_and_named() -> None:
    n, d, k = (g.ravel() for g in np.meshgrid([1e3, 3e3, 1e4], [1e5, 3e5, 1e6], [1e3, 4e3], indexing="ij"))
    noise = np.exp(np.random.default_rng(0).normal(0, 0.01, n.size))
    shown = texts(drawn(pa.table({"n": n, "d": d, "ft_d": k, "loss": 9 * n**-0.1 * d**-0.1 * k**-0.05 * noise})))
    assert any("curves at fine-tuning data d = 4k" in text for text in shown)


def test_a_missing_target_is_named(runs, report: FitReport) -> None:
    with pytest.raises(BadInput, match="accuracy"):
        scaling_figure(runs(), report, title="", target="accuracy")


def test_a_saved_png_is_wide_and_an_svg_keeps_its_text_and_its_bytes(figure: Figure, tmp_path: Path) -> None:
    for name in ("figure.png", "figure.svg", "again.SVG"):
        save_figure(figure, tmp_path / name)
    png = (tmp_path / "figure.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) > 800
    svg = (tmp_path / "figure.svg").read_text()
    assert all(label in svg for label in ("<svg", "data D (unique tokens)", "6.3k", "epochs E", "α = "))
    same = (tmp_path / "again.SVG").read_text() == svg
    assert same, "the same figure gives the same bytes"


def test_a_pdf_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "figure.pdf"
    path.write_text("old")
    save_figure(Figure(figsize=(1, 1)), path)
    assert path.read_bytes().startswith(b"%PDF")


def test_a_title_is_text_and_never_a_formula(runs) -> None:
    figure = drawn(runs(n=[1e3], e=[1.0]), title=r"$\frac" + "x" * 200)
    assert figure.get_suptitle() == r"$\frac" + "x" * 93 + "…"


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "figure.png/inside.png", "missing/figure.png", "folder.svg"])
def test_a_path_that_can_not_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "figure.png").touch()
    with pytest.raises(BadInput, match=name):
        save_figure(Figure(figsize=(1, 1)), tmp_path / name)
