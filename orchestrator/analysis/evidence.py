"""Measured points with how they are fitted, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import BadInput
from orchestrator.fitting import FitReport, fit, fit_rows
from orchestrator.fitting.average.fit import AverageFit
from orchestrator.fitting.caution import cautions_json
from orchestrator.fitting.check import IMPLAUSIBLE, LEAST, MOST
from orchestrator.fitting.table_words import GROUP
from orchestrator.store import Store


class Settings(TypedDict):
    """How rows are fitted, as `fit` takes it."""

    target: str
    laws: Sequence[str] | None
    hold_out: str | float
    bootstrap: int
    noise: str
    resample: str


#: Settings of a fit where no sweep says otherwise.
DEFAULTS: Final[Settings] = {
    "target": "loss",
    "laws": None,
    "hold_out": "largest",
    "bootstrap": 1000,
    "noise": "equal",
    "resample": "case",
}
#: A point is far where it lies this many times above the largest row, or below the smallest.
FAR: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Measured points with the settings that their sweep asks for.

    Attributes
    ----------
    axes
        Columns among ``n, d, e, …`` and the target.
    settings
        What the sweep asks for.
    title
        What the points are, for a figure.
    d_counts, d_unit
        Whether ``d`` counts unique data or data seen, and in which unit, where that is known.
    notes
        What a person should know of the choice of points.
    """

    axes: pa.Table
    settings: Settings
    title: str
    d_counts: Literal["unique", "seen"]
    d_unit: Literal["tokens", "examples"] | None = None
    store: Store | None = None
    sweep: str | None = None
    task: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def d_means(self) -> str:
        """What ``d`` is, in words."""
        return self.d_counts if self.d_unit is None else f"{self.d_counts} {self.d_unit}"

    def fit(
        self,
        *,
        laws: Sequence[str] | None = None,
        hold_out: str | None = None,
        bootstrap: int | None = None,
        noise: str | None = None,
        resample: str | None = None,
        fix: str | Mapping[str, str | float] | None = None,
        none_is_fine: bool = False,
    ) -> FitReport:
        """Fit, flags before the sweep's own settings.

        Parameters
        ----------
        none_is_fine
            Return the report, which says why, also where no law can be fitted.

        Raises
        ------
        BadInput
            If the table can't be fitted by any law that was asked for.
        """
        settings = self.settings
        report = fit(
            self.axes,
            average=None if laws else True,
            target=settings["target"],
            laws=list(laws) if laws else settings["laws"],
            hold_out=_hold_out(hold_out) if hold_out is not None else settings["hold_out"],
            bootstrap=settings["bootstrap"] if bootstrap is None else bootstrap,
            noise=noise or settings["noise"],
            resample=resample or settings["resample"],
            group=GROUP if GROUP in self.axes.column_names else None,
            fix=fix,
        )
        if not report.fits and not none_is_fine:
            raise BadInput("no law can be fitted: " + "; ".join(report.warnings))
        return report

    def predict(self, point: Mapping[str, str], *, law: str | None, level: float) -> dict[str, Any]:
        """Return the prediction at a point, numbers as people write them, with its interval."""
        from orchestrator.spec.quantities import parse_number  # pydantic, which a fit does without

        unsaid = [axis for axis in ("n", "d") if axis in self.axes.column_names and axis not in point]
        if unsaid:
            raise BadInput(f"say the point: {' and '.join(f'`{axis}`' for axis in unsaid)}")
        numbers = {}
        for axis, text in point.items():
            try:
                numbers[axis] = float(parse_number(text))
            except ValueError as failure:
                raise BadInput(f"`{axis}` {failure}") from failure
            if numbers[axis] <= 0:
                raise BadInput(f"`{axis}` must be above 0, not {text}")
            if not LEAST <= numbers[axis] <= MOST:
                raise BadInput(f"`{axis}` is {text}: {IMPLAUSIBLE}")
        absent = [axis for axis, value in numbers.items() if axis not in self.axes.column_names and value != 1]
        if absent:
            raise BadInput(
                f"`{absent[0]}` {point[absent[0]]}: the rows have no {absent[0]}, so no law knows its effect"
            )
        unsaid = [axis for axis in ("ft_d", "ft_e") if axis in self.axes.column_names and axis not in numbers]
        if unsaid:
            raise BadInput(
                f"these rows are fine-tuned; say how much with {' and '.join(f'`{axis}`' for axis in unsaid)}"
            )
        if "eps" in self.axes.column_names:
            numbers.setdefault("eps", 1.0)
        report = self.fit(laws=[law] if law else None)
        chosen = report.fits[law] if law else report.best
        if chosen is None:
            raise BadInput("no law can predict here: " + "; ".join(report.warnings))
        numbers.setdefault("e", 1.0)
        table = pa.table({axis: [value] for axis, value in numbers.items()})
        table = table.drop_columns([axis for axis in table.column_names if axis not in self.axes.column_names])
        far = [_far(axis, numbers[axis], self.axes[axis]) for axis in numbers if axis in self.axes.column_names]
        value = (chosen if law else report).predict(table)
        lo, hi = (chosen if law else report).predict_interval(table, level)
        said = chosen.cautions(table) if isinstance(chosen, AverageFit) else [*filter(None, far)]
        return {
            "target": self.settings["target"],
            "task": self.task,
            "value": float(value[0]),
            "lo": float(lo[0]),
            "hi": float(hi[0]),
            "level": level,
            "law": chosen.law,
            "by": chosen.predictor.kind if isinstance(chosen, AverageFit) else f"law {chosen.law}",
            "laws_in_interval": [chosen.law] if law or isinstance(chosen, AverageFit) else report.near,
            **numbers,
            "d_means": self.d_means,
            "warnings": [*said, *self.notes, *report.warnings, *chosen.warnings],
            "cautions": cautions_json([*said, *self.notes, *report.warnings, *chosen.warnings]),
        }

    def commit(self, report: FitReport) -> None:
        """Add the fits to the store unless its last fit has the same figures."""
        assert self.store is not None
        rows = fit_rows(report, sweep=self.sweep, task=self.task, fitted_at=datetime.now(UTC))
        keys = [name for name in rows.column_names if name != "fitted_at"]
        stored = {tuple(row[k] for k in keys) for row in self.store.fits().to_pylist()}
        if any(tuple(row[k] for k in keys) not in stored for row in rows.to_pylist()):
            self.store.commit_fits(rows)


def _far(axis: str, value: float, rows: pa.ChunkedArray) -> str | None:
    """Return a warning where a point lies an order of magnitude outside the rows."""
    low, high = (float(end.as_py()) for end in pc.min_max(rows).values())
    if low / FAR <= value <= high * FAR:
        return None
    measured = f"({low:.3g} to {high:.3g})"
    return f"`{axis}` {value:.3g} lies far outside the rows {measured}: the interval knows of no change out there"


def _hold_out(text: str) -> str | float:
    if text in ("largest", "none"):
        return text
    try:
        fraction = float(text)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction < 1:
        raise BadInput(f"`hold_out` {text!r}: expected largest, none or a fraction such as 0.2")
    return fraction
