"""STORE or TABLE → the rows that laws are fitted to, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypedDict, cast

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.store_rows import axes_from_rows, recipes_in
from orchestrator.analysis.tables import SUFFIXES, map_columns, parse_map, read_table
from orchestrator.errors import BadInput
from orchestrator.fitting import FitReport, fit, fit_rows
from orchestrator.fitting.check import IMPLAUSIBLE, LEAST, MOST, source_of
from orchestrator.store import Store, open_store

#: Where rows come from: a store by its address or open, a table by its file's name or read.
Source: TypeAlias = str | Path | Store | pa.Table
#: Which columns of a table are the axes and the target: ``n=size,d=tokens,loss=val_loss``, or the same as a mapping.
ColumnMap: TypeAlias = str | Mapping[str, str]


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
            target=settings["target"],
            laws=list(laws) if laws else settings["laws"],
            hold_out=_hold_out(hold_out) if hold_out is not None else settings["hold_out"],
            bootstrap=settings["bootstrap"] if bootstrap is None else bootstrap,
            noise=noise or settings["noise"],
            resample=resample or settings["resample"],
        )
        if not report.fits and not none_is_fine:
            raise BadInput("no law can be fitted: " + "; ".join(report.warnings))
        return report

    def predict(self, point: Mapping[str, str], *, law: str | None, level: float) -> dict[str, Any]:
        """Return the prediction at a point, numbers as people write them, with its interval."""
        from orchestrator.spec.quantities import parse_number  # pydantic, which a fit does without

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
        table = pa.table({axis: [value] for axis, value in numbers.items()})
        far = [_far(axis, numbers[axis], self.axes[axis]) for axis in numbers if axis in self.axes.column_names]
        lo, hi = (chosen if law else report).predict_interval(table, level)
        return {
            "target": self.settings["target"],
            "task": self.task,
            "value": float(chosen.predict(table)[0]),
            "lo": float(lo[0]),
            "hi": float(hi[0]),
            "level": level,
            "law": chosen.law,
            "laws_in_interval": [law] if law else report.near,
            **numbers,
            "d_means": self.d_means,
            "warnings": [*filter(None, far), *self.notes, *report.warnings, *chosen.warnings],
        }

    def commit(self, report: FitReport) -> None:
        """Add the fits to the store unless its last fit has the same figures."""
        assert self.store is not None
        rows = fit_rows(report, sweep=self.sweep, task=self.task, fitted_at=datetime.now(UTC))
        keys = [name for name in rows.column_names if name != "fitted_at"]
        stored = {tuple(row[k] for k in keys) for row in self.store.fits().to_pylist()}
        if any(tuple(row[k] for k in keys) not in stored for row in rows.to_pylist()):
            self.store.commit_fits(rows)


def is_table(where: Source) -> bool:
    """Return whether something is a table rather than a store: a file, or a name that ends as a table's does."""
    if not isinstance(where, str | Path):
        return not isinstance(where, Store)
    return Path(where).is_file() or (Path(where).suffix in SUFFIXES and not Path(where).is_dir())


def opened(where: Source) -> Store:
    """Return the store that something names or is.

    Raises
    ------
    BadInput
        If there is none.
    """
    return where if isinstance(where, Store) else open_store(str(where))


def called(where: Source) -> str:
    """Return what to call a source in a message."""
    if isinstance(where, str | Path):
        return str(where)
    return where.uri if isinstance(where, Store) else "what was given"


def gather(
    where: Source,
    *,
    mapping: ColumnMap | None = None,
    target: str | None = None,
    sweep: str | None = None,
    task: str | None = None,
    recipe: str | None = None,
    keep: str | None = None,
) -> Evidence:
    """Return the points of a store's sweep or of a table, with a column that is kept beside them.

    Raises
    ------
    BadInput
        If there is nothing there, or columns are missing or hold what is no loss.
    """
    if is_table(where):
        if sweep is not None:
            raise BadInput(f"`sweep` is for stores; {called(where)} is a table")
        return _from_table(where, mapping, target or "loss", task, recipe, keep)
    if mapping is not None:
        raise BadInput(f"{called(where)} is no table; `mapping` is for tables, a store needs none")
    store = opened(where)
    return from_store(store, store.only_sweep(sweep), target=target, task=task, recipe=recipe, keep=keep)


def from_store(
    store: Store,
    sweep: str | None,
    *,
    target: str | None = None,
    task: str | None = None,
    recipe: str | None = None,
    finetuned: bool | None = None,
    keep: str | None = None,
) -> Evidence:
    """Return the points of one sweep of an open store (all rows where the store knows no sweep).

    Of several recipes the sweep's first is taken, and the others are named in the notes.
    """
    document = store.sweep(sweep) if sweep is not None else {}
    wanted = document.get("sweep", {}).get("fit", {})
    settings = cast("Settings", {**DEFAULTS, **{k: v for k, v in wanted.items() if k in DEFAULTS}})
    if target is not None:
        settings["target"] = target
    rows = store.results(sweep)
    there = recipes_in(rows)
    notes = []
    if recipe is None and keep != "recipe" and len(there) > 1:
        recipe = next((name for name in document.get("recipes", ()) if name in there), None)
        others = ", ".join(name for name in there if name != recipe)
        notes = [f"fitted are the rows of recipe {recipe}; choose another with `recipe`: {others}"] if recipe else []
    axes = axes_from_rows(
        rows,
        target=settings["target"],
        task=task,
        recipe=recipe,
        finetuned=finetuned,
        epsilon=wanted.get("epsilon", "bytes"),
        keep=keep,
    )
    simulated = bool(rows.num_rows) and any(rows["simulated"].to_pylist())
    return Evidence(
        axes=axes,
        settings=settings,
        title=(sweep or "results") + (" (simulated)" if simulated else ""),
        d_counts="unique",
        d_unit="tokens" if rows.num_rows and rows["data_tokens"].null_count < rows.num_rows else "examples",
        store=store,
        sweep=sweep,
        task=task or _task_of(document, finetuned),
        notes=tuple(notes),
    )


def _far(axis: str, value: float, rows: pa.ChunkedArray) -> str | None:
    """Return a warning where a point lies an order of magnitude outside the rows."""
    low, high = (float(end.as_py()) for end in pc.min_max(rows).values())
    if low / FAR <= value <= high * FAR:
        return None
    measured = f"({low:.3g} to {high:.3g})"
    return f"`{axis}` {value:.3g} lies far outside the rows {measured}: the interval knows of no change out there"


def _task_of(document: Mapping[str, Any], finetuned: bool | None) -> str | None:
    """Return the task that is fitted where none is named: the last in a sweep's chain, or the first."""
    tasks = document.get("tasks") or [document.get("task")]
    name = tasks[0] if finetuned is False else tasks[-1]
    return None if name is None else str(name)


def _from_table(
    where: Source, mapping: ColumnMap | None, target: str, task: str | None, recipe: str | None, keep: str | None
) -> Evidence:
    table: pa.Table = read_table(where) if isinstance(where, str | Path) else where
    if mapping is None and {"params_non_embedding", "status"} <= set(table.column_names):
        axes = axes_from_rows(table, target=target, task=task, recipe=recipe, keep=keep)
    else:
        for name, value in (("task", task), ("recipe", recipe)):
            if value is not None:
                raise BadInput(
                    f"`{name}` chooses among the rows of a store; {called(where)} is a table of its own: leave it out"
                )
        columns = parse_map(mapping) if isinstance(mapping, str) else mapping
        axes = map_columns(table, columns or {}, target, keep)
    return Evidence(
        axes=axes,
        settings={**DEFAULTS, "target": target},
        title=source_of(table),
        d_counts="unique" if "e" in axes.column_names else "seen",
        notes=_copies(axes),
    )


def _copies(axes: pa.Table) -> tuple[str, ...]:
    """Return a warning where rows of a table stand in it more than once."""
    try:
        copies = axes.num_rows - axes.group_by(axes.column_names).aggregate([]).num_rows
    except (
        pa.ArrowNotImplementedError
    ):  # a type that Arrow can't compare, such as lists: the fit has its own word on it
        return ()
    if not copies:
        return ()
    return (
        f"{copies:,} of {axes.num_rows:,} rows repeat another to the last digit: if they are copies and no further "
        "seeds, drop them, as they make intervals too narrow",
    )


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
