"""Rich tables of fits and of query results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from orchestrator.fitting.average.fit import AverageFit

if TYPE_CHECKING:
    from orchestrator.fitting import FitReport


def fit_table(report: FitReport) -> Table | Text:
    """Return the laws of a report, one parameter a line, the default answer and the best law marked.

    The last column is the error by which the best law was chosen.

    A parameter that the rows can't tell reads ``not identified``; the reason stands below the table, with whatever
    else each law warns of (I11).
    """
    if not report.fits:
        return Text("\n".join(["no law fitted", *report.warnings]))
    table = Table(
        title=Text(f"{report.target} fitted to {report.n_rows:,} rows"),
        title_justify="left",
        caption=_notes(report),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("law", overflow="fold")
    table.add_column("parameter", overflow="fold")
    table.add_column("value", justify="right", overflow="fold")
    table.add_column("90 % interval", justify="right", no_wrap=True, overflow="fold")
    table.add_column("R²(log)", justify="right", overflow="fold")
    table.add_column("held-out RMSE(log)", justify="right", overflow="fold", max_width=9)
    table.add_column("RMSE(log) ahead", justify="right", overflow="fold", max_width=9)
    for law in report.fits.values():
        best = report.best_law is not None and report.best_law.law == law.law
        facts = [_short(law.r2_log), _short(law.held_out_rmse_log), _short(law.rolling_rmse_log)]
        mark = " (default)" if isinstance(law, AverageFit) else " (best)" if best else ""
        title = Text(law.law + mark, style="bold" if mark else "")
        if isinstance(law, AverageFit):
            kind = law.predictor.kind
            table.add_row(title, Text("predicts by"), Text(kind), Text(f"exponents: {law.params_of}"), *facts)
            table.add_section()
            continue
        for parameter, estimate in law.params.items():
            interval = "" if estimate.lo is None else f"[{_short(estimate.lo)}, {_short(estimate.hi)}]"
            value = "not identified" if estimate.value is None else _short(estimate.value)
            table.add_row(title, Text(parameter), value, Text(interval), *facts)
            title, facts = Text(""), ["", "", ""]
        table.add_section()
    return table


def records_table(records: Sequence[dict[str, Any]], width: int | None = None) -> Table | Text:
    """Return records as a table, columns in the order of the first record, numbers to the right.

    Parameters
    ----------
    width
        Characters of a line. A table that is wider becomes a block of lines a record, so that every value stands whole.
    """
    if not records:
        return Text("no rows")
    cells = [[_cell(value) for value in record.values()] for record in records]
    widest = [max(map(len, column)) for column in zip(records[0], *cells, strict=True)]
    if width is not None and sum(widest) + 3 * len(widest) > width:
        return _blocks(list(records[0]), cells)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in records[0]:
        numeric = all(isinstance(record[name], int | float | None) for record in records)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _blocks(names: Sequence[str], cells: Sequence[Sequence[str]]) -> Text:
    indent = max(map(len, names))
    return Text("\n\n".join("\n".join(f"{n:<{indent}}  {v}" for n, v in zip(names, row, strict=True)) for row in cells))


def _notes(report: FitReport) -> Text | None:
    """Each warning once, behind the names of the laws that give it."""
    laws: dict[str, list[str]] = {}
    for law in report.fits.values():
        for warning in law.warnings:
            laws.setdefault(warning, []).append(law.law)
    if not laws:
        return None
    return Text("\n" + "\n".join(f"{', '.join(names)}: {warning}" for warning, names in laws.items()))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _short(value: float | None) -> str:
    """Four significant digits, which is more than an interval ever backs."""
    return "–" if value is None else f"{value:.4g}"
