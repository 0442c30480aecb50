"""Rich tables of fits and of query results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from orchestrator.fitting import FitReport


def fit_table(report: FitReport) -> Table:
    """Return the laws of a report, one parameter a line, the best law marked."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (("law", "left"), ("parameter", "left"), ("value", "right"), ("90 % interval", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in ("R²(log)", "held-out RMSE(log)", "rows"):
        table.add_column(name, justify="right")
    for law in report.fits.values():
        best = report.best is not None and report.best.law == law.law
        facts = [_number(law.r2_log), _number(law.held_out_rmse_log), str(law.n_rows)]
        title = Text(law.law + (" (best)" if best else ""), style="bold" if best else "")
        for parameter, estimate in law.params.items():
            interval = "" if estimate.lo is None else f"[{_number(estimate.lo)}, {_number(estimate.hi)}]"
            value = "not identified" if estimate.value is None else _number(estimate.value)
            table.add_row(title, parameter, value, Text(interval), *facts)
            title, facts = Text(""), [""] * 3
        table.add_section()
    return table


def records_table(records: Sequence[dict[str, Any]]) -> Table | Text:
    """Return records as a table, columns in their order."""
    if not records:
        return Text("no rows")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, value in records[0].items():
        table.add_column(name, justify="right" if isinstance(value, (int, float)) else "left", overflow="fold")
    for record in records:
        table.add_row(*(Text(_cell(value)) for value in record.values()))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return _number(value)
    return "" if value is None else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 100 else f"{value:.1f}"
