"""``scalaw fit`` as functions: laws, or groups compared, from a store or from anybody's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.analysis.inputs import ColumnMap, RowChoice, Source, gather
from orchestrator.fitting.comparison import Comparison, fit_by

if TYPE_CHECKING:
    from orchestrator.fitting import FitReport


class SourceFit(NamedTuple):
    """The laws that were fitted, and what a person should know of the rows behind them."""

    report: FitReport
    warnings: list[str]


class SourceComparison(NamedTuple):
    """How groups compare, and what a person should know of the rows behind that."""

    comparison: Comparison
    warnings: list[str]


def fit_source(
    source: Source,
    *,
    laws: Sequence[str] | None = None,
    target: str | None = None,
    hold_out: float | str | None = None,
    mapping: ColumnMap | None = None,
    bootstrap: int | None = None,
    noise: str | None = None,
    resample: str | None = None,
    task: str | None = None,
    recipe: str | None = None,
    sweep: str | None = None,
    where: str | None = None,
    drop_empty: bool = False,
    envelope: bool = False,
    group: str | None = None,
    decimal: str = ".",
    fix: str | Mapping[str, str | float] | None = None,
) -> SourceFit:
    """Fit laws to a store or a table; a store keeps the fits where nothing but its own settings was asked for.

    Parameters
    ----------
    source
        A store by its address or open, or a table: a ``.csv``, ``.parquet`` or ``.jsonl`` file or a pyarrow Table.
    laws, hold_out, bootstrap, noise, resample
        As `fit` takes them; by default what the sweep's YAML says.
    target
        What is predicted; by default what the sweep's YAML says, ``loss`` for a table.
    mapping
        Columns: ``n=size,d=tokens,loss=val_loss``, or the same as a mapping; arithmetic of columns too.
    task, recipe, sweep
        Rows of a store: scored on this data, trained by this recipe, of this sweep.
    where, drop_empty, envelope, group, decimal
        Which rows count, and what hangs together, as `RowChoice` says.
    fix
        Parameters that are tied or held: ``alpha=beta,E=1.69``, or the same as a mapping.

    Raises
    ------
    BadInput
        If there is nothing that a law can be fitted to.
    """
    rows = RowChoice(where=where, drop_empty=drop_empty, envelope=envelope, group=group, decimal=decimal)
    evidence = gather(source, mapping=mapping, target=target, sweep=sweep, task=task, recipe=recipe, rows=rows)
    report = evidence.fit(
        laws=laws,
        hold_out=None if hold_out is None else str(hold_out),
        bootstrap=bootstrap,
        noise=noise,
        resample=resample,
        fix=fix,
    )
    asked = (laws, hold_out, bootstrap, noise, resample, recipe, mapping, where, group, fix)
    if evidence.store is not None and not (drop_empty or envelope) and all(value is None for value in asked):
        evidence.commit(report)
    return SourceFit(report, [*evidence.notes, *report.warnings])


def compare_groups(
    source: Source,
    *,
    by: str,
    target: str | None = None,
    mapping: ColumnMap | None = None,
    bootstrap: int | None = None,
    task: str | None = None,
    recipe: str | None = None,
    sweep: str | None = None,
    where: str | None = None,
    drop_empty: bool = False,
    envelope: bool = False,
    group: str | None = None,
    decimal: str = ".",
) -> SourceComparison:
    """Compare the groups of rows that a column names: shared exponents, factors of their own.

    Parameters
    ----------
    by
        The column.
    bootstrap
        Replicas; by default what the sweep's YAML says.
    source, target, mapping, task, recipe, sweep, where, drop_empty, envelope, group, decimal
        As `fit_source` takes them.

    Raises
    ------
    BadInput
        If there is no such column, or a group has too few rows.
    """
    rows = RowChoice(where=where, drop_empty=drop_empty, envelope=envelope, group=group, decimal=decimal)
    evidence = gather(source, mapping=mapping, target=target, sweep=sweep, task=task, recipe=recipe, keep=by, rows=rows)
    replicas = evidence.settings["bootstrap"] if bootstrap is None else bootstrap
    found = fit_by(evidence.axes, by, target=evidence.settings["target"], bootstrap=replicas)
    return SourceComparison(found, list(evidence.notes))
