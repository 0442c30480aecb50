"""A fit's report as the JSON of `scalaw fit` and as rows of the store's `fits` table."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import pyarrow as pa

from orchestrator.fitting.average.fit import AverageFit
from orchestrator.fitting.caution import cautions_json
from orchestrator.fitting.result import FitReport

FITS_SCHEMA = pa.schema(
    [
        ("sweep", pa.string()),
        ("task", pa.string()),
        ("law", pa.string()),
        ("parameter", pa.string()),
        ("value", pa.float64()),
        ("lo", pa.float64()),
        ("hi", pa.float64()),
        ("held_out_rmse_log", pa.float64()),
        ("n_rows", pa.int64()),
        ("best", pa.bool_()),
        ("fitted_at", pa.timestamp("us", tz="UTC")),
    ]
)


def report_json(report: FitReport) -> dict[str, Any]:
    """Return the document of ``scalaw fit``: no NaN, null where there is no number."""
    fits = {
        name: {
            "params": {
                p: {"value": _number(e.value), "lo": _number(e.lo), "hi": _number(e.hi)}
                for p, e in law_fit.params.items()
            },
            "objective": _number(law_fit.objective),
            "r2_log": _number(law_fit.r2_log),
            "held_out_rmse_log": _number(law_fit.held_out_rmse_log),
            "rolling_rmse_log": _number(law_fit.rolling_rmse_log),
            "n_rows": law_fit.n_rows,
            "identifiability": None if law_fit.identifiability is None else law_fit.identifiability.to_json(),
            "warnings": list(law_fit.warnings),
            "cautions": cautions_json(law_fit.warnings),
            **({"answer": law_fit.facts()} if isinstance(law_fit, AverageFit) else {}),
        }
        for name, law_fit in report.fits.items()
    }
    found = {
        "fits": fits,
        "best": None if report.best is None else report.best.law,
        "best_law": None if report.best_law is None else report.best_law.law,
        "ranking": list(report.ranking),
        "near": list(report.near),
    }
    return found | ({"separability": report.separability.to_json()} if report.separability else {})


def fit_rows(report: FitReport, *, sweep: str | None, task: str | None, fitted_at: datetime) -> pa.Table:
    """Return one row a parameter of each law, under `FITS_SCHEMA`; null where there is no number.

    Parameters
    ----------
    sweep, task
        What was fitted; None for a table that is not ours.
    fitted_at
        With a time zone.
    """
    best = None if report.best_law is None else report.best_law.law
    rows = [
        {
            "sweep": sweep,
            "task": task,
            "law": name,
            "parameter": parameter,
            "value": _number(estimate.value),
            "lo": _number(estimate.lo),
            "hi": _number(estimate.hi),
            "held_out_rmse_log": _number(law_fit.held_out_rmse_log),
            "n_rows": law_fit.n_rows,
            "best": name == best,
            "fitted_at": fitted_at,
        }
        for name, law_fit in report.fits.items()
        if not isinstance(law_fit, AverageFit)
        for parameter, estimate in law_fit.params.items()
    ]
    return pa.Table.from_pylist(rows, schema=FITS_SCHEMA)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
