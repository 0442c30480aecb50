"""Tables as text that other programs take: CSV, LaTeX, Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from orchestrator.fitting import FitReport

Format = Literal["csv", "latex", "markdown"]
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {letter: "\\" + letter for letter in "&%$#_{}"}


def written(records: Sequence[dict[str, Any]], format_: Format) -> str:
    """Return records as text, one a line, columns in the order of the first; what is missing is empty."""
    names = list(records[0]) if records else []
    rows = [[_cell(record[name]) for name in names] for record in records]
    if format_ == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([names, *rows])
        return out.getvalue()
    if format_ == "markdown":
        lines = [names, ["---"] * len(names), *rows]
        return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
    tabular = [" & ".join(map(_escaped, line)) + r" \\" for line in [names, *rows]]
    head = r"\begin{tabular}{" + "l" * len(names) + "}"
    return "\n".join([head, r"\hline", tabular[0], r"\hline", *tabular[1:], r"\hline", r"\end{tabular}", ""])


def fit_records(report: FitReport) -> list[dict[str, Any]]:
    """Return one record a parameter of each law of a report, with the errors of its law."""
    return [
        {
            "law": name,
            "parameter": parameter,
            "value": estimate.value,
            "lo": estimate.lo,
            "hi": estimate.hi,
            "r2_log": fit.r2_log,
            "held_out_rmse_log": fit.held_out_rmse_log,
            "rolling_rmse_log": fit.rolling_rmse_log,
            "n_rows": fit.n_rows,
        }
        for name, fit in report.fits.items()
        for parameter, estimate in fit.params.items()
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
