"""A fit as a notebook shows it: a summary in words, a data frame, HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Protocol


class Reported(Protocol):
    """What is read of a report."""

    @property
    def target(self) -> str:
        """Return the column fitted."""

    @property
    def n_rows(self) -> int:
        """Return how many rows there were."""

    @property
    def warnings(self) -> list[str]:
        """Return what to know of them."""

    @property
    def fits(self) -> Mapping[str, Any]:
        """Return the fits by their names."""

    @property
    def best(self) -> Any:
        """Return the default answer."""

    @property
    def best_law(self) -> Any:
        """Return the best single law."""


def parameter_rows(report: Reported) -> list[dict[str, Any]]:
    """Return one record a parameter of each fit of a report."""
    return [
        {"law": name, "parameter": parameter, "value": found.value, "lo": found.lo, "hi": found.hi}
        for name, fit in report.fits.items()
        for parameter, found in fit.params.items()
    ]


def summary(report: Reported) -> str:
    """Return the laws, their parameters with 90 % intervals and their errors, a line each."""
    lines = [f"{report.target} fitted to {report.n_rows:,} rows"]
    for name, fit in report.fits.items():
        error = "" if fit.held_out_rmse_log is None else f", held-out RMSE(log) {fit.held_out_rmse_log:.4g}"
        mark = " (default)" if fit is report.best else " (best law)" if fit is report.best_law else ""
        lines.append(f"{name}{mark}: R²(log) {fit.r2_log:.4f}{error}")
        for parameter, found in fit.params.items():
            value = "not identified" if found.value is None else f"{found.value:.4g}"
            ends = "" if found.lo is None else f"  [{found.lo:.4g}, {found.hi:.4g}]"
            lines.append(f"  {parameter:<8} {value}{ends}")
    return "\n".join([*lines, *(f"note: {warning}" for warning in report.warnings)])


def as_html(report: Reported) -> str:
    """Return the parameters as an HTML table; what people typed is escaped."""
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in record.values()) + "</tr>"
        for record in parameter_rows(report)
    )
    heads = "".join(f"<th>{name}</th>" for name in ("law", "parameter", "value", "lo", "hi"))
    return f"<table><caption>{html.escape(report.target)}</caption><tr>{heads}</tr>{rows}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
