"""STORE or TABLE → the rows that laws are fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa

from orchestrator.analysis.evidence import DEFAULTS, Evidence, Settings
from orchestrator.analysis.found_groups import found_group
from orchestrator.analysis.store_rows import axes_from_rows, recipes_in
from orchestrator.analysis.table_files import is_table_name
from orchestrator.analysis.table_filter import envelope, numbered, where_holds, without_gaps
from orchestrator.analysis.tables import FLOPS, map_columns, parse_map, read_table
from orchestrator.analysis.units import check_units
from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES
from orchestrator.fitting.check import QUALITIES
from orchestrator.fitting.table_words import GROUP, source_of
from orchestrator.fitting.text_numbers import as_numbers, is_text
from orchestrator.store import Store, open_store

__all__ = ["ColumnMap", "Evidence", "RowChoice", "Source", "called", "from_store", "gather", "is_table", "opened"]

#: Where rows come from: a store by its address or open, a table by its file's name or read, or columns of numbers.
Source: TypeAlias = str | Path | Store | pa.Table | Mapping[str, Any]
#: Which columns of a table are the axes and the target: ``n=size,d=tokens,loss=val_loss``, or the same as a mapping.
ColumnMap: TypeAlias = str | Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RowChoice:
    """Which rows of a source count, and what hangs together.

    Attributes
    ----------
    where
        A condition in DuckDB's SQL over the source's own columns, such as ``State = 'finished'``.
    drop_empty
        Leave out rows with an empty cell among the columns that are used, instead of refusing them.
    envelope
        Take the best row of each point of the axes.
    group
        A column whose equal values name rows that hang together, such as checkpoints of one run.
    decimal
        The decimal sign of a CSV.
    """

    where: str | None = None
    drop_empty: bool = False
    envelope: bool = False
    group: str | None = None
    decimal: str = "."


ALL_ROWS = RowChoice()


def as_table(source: Any) -> pa.Table:
    """Return a table of columns of numbers, of a data frame (pandas, polars), or as it is.

    Raises
    ------
    BadInput
        If it is nothing of that kind.
    """
    if isinstance(source, pa.Table):
        return source
    try:
        if hasattr(source, "__arrow_c_stream__"):
            return pa.table(source)
        if hasattr(source, "to_arrow"):
            return source.to_arrow()
        if hasattr(source, "columns") and hasattr(source, "iloc"):
            return pa.Table.from_pandas(source, preserve_index=False)
        if isinstance(source, Mapping):
            return pa.table({name: np.asarray(values) for name, values in source.items()})
    except (pa.ArrowException, ValueError, TypeError) as failure:
        raise BadInput(f"what was given is no table: {failure}") from failure
    raise BadInput(
        f"what was given, a {type(source).__name__}, is no table: give a file, a store, a pyarrow Table, a data frame "
        "or a mapping of columns"
    )


def is_table(where: Source) -> bool:
    """Return whether something is a table rather than a store: a file, or a name that ends as a table's does."""
    if not isinstance(where, str | Path):
        return not isinstance(where, Store)
    return is_table_name(where)


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
    rows: RowChoice = ALL_ROWS,
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
        return _from_table(where, mapping, target or "loss", task, recipe, keep, rows)
    store = opened(where)
    return from_store(
        store,
        store.only_sweep(sweep),
        target=target,
        task=task,
        recipe=recipe,
        keep=keep,
        mapping=mapping,
        rows=rows,
    )


def from_store(
    store: Store,
    sweep: str | None,
    *,
    target: str | None = None,
    task: str | None = None,
    recipe: str | None = None,
    finetuned: bool | None = None,
    keep: str | None = None,
    mapping: ColumnMap | None = None,
    rows: RowChoice = ALL_ROWS,
) -> Evidence:
    """Return the points of one sweep of an open store (all rows where the store knows no sweep).

    Of several recipes the sweep's first is taken, and the others are named in the notes.
    """
    document = store.sweep(sweep) if sweep is not None else {}
    wanted = document.get("sweep", {}).get("fit", {})
    settings = cast("Settings", {**DEFAULTS, **{k: v for k, v in wanted.items() if k in DEFAULTS}})
    if target is not None:
        settings["target"] = target
    results = store.results(sweep)
    if rows.where is not None:
        results = where_holds(results, rows.where)
    there = recipes_in(results)
    notes = []
    if recipe is None and keep != "recipe" and len(there) > 1:
        recipe = next((name for name in document.get("recipes", ()) if name in there), None)
        others = ", ".join(name for name in there if name != recipe)
        notes = [f"fitted are the rows of recipe {recipe}; choose another with `recipe`: {others}"] if recipe else []
    columns = parse_map(mapping) if isinstance(mapping, str) else mapping
    axes = axes_from_rows(
        results,
        target=settings["target"],
        task=task,
        recipe=recipe,
        finetuned=finetuned,
        epsilon=wanted.get("epsilon", "bytes"),
        keep=keep,
        mapping=columns,
        group=rows.group,
    )
    axes, said = chosen(axes, settings["target"], rows)
    simulated = bool(results.num_rows) and any(results["simulated"].to_pylist())
    return Evidence(
        axes=axes,
        settings=settings,
        title=(sweep or "results") + (" (simulated)" if simulated else ""),
        d_counts="unique",
        d_unit="tokens" if results.num_rows and results["data_tokens"].null_count < results.num_rows else "examples",
        store=store,
        sweep=sweep,
        task=task or _task_of(document, finetuned),
        notes=(*notes, *said),
    )


def _task_of(document: Mapping[str, Any], finetuned: bool | None) -> str | None:
    """Return the task that is fitted where none is named: the last in a sweep's chain, or the first."""
    tasks = document.get("tasks") or [document.get("task")]
    name = tasks[0] if finetuned is False else tasks[-1]
    return None if name is None else str(name)


def _from_table(
    source: Source,
    mapping: ColumnMap | None,
    target: str,
    task: str | None,
    recipe: str | None,
    keep: str | None,
    rows: RowChoice,
) -> Evidence:
    table = numbered(_read(source, rows))
    if rows.where is not None:
        table = where_holds(table, rows.where)
    notes: list[str] = []
    stated: frozenset[str] = frozenset()
    if mapping is None and {"params_non_embedding", "status"} <= set(table.column_names):
        axes = axes_from_rows(table, target=target, task=task, recipe=recipe, keep=keep)
    else:
        for name, value in (("task", task), ("recipe", recipe)):
            if value is not None:
                raise BadInput(
                    f"`{name}` chooses among the rows of a store; {called(source)} is a table of its own: leave it out"
                )
        columns = parse_map(mapping) if isinstance(mapping, str) else mapping
        group = rows.group or found_group(table, columns or {})
        mapped = map_columns(table, columns or {}, target, keep, group)
        axes, stated = mapped.table, mapped.stated
        notes += mapped.notes
        if group is not None and rows.group is None:
            notes.append(
                f"rows of one {group} are taken as one run's, which move together: name another column with `group`"
            )
    axes, said = chosen(axes, target, rows)
    axes = _numbers(axes, target)
    notes += said
    if {"n", "d"} <= set(axes.column_names):
        pair = {name: as_numbers(axes, name) for name in ("n", "d")}
        check_units(pair, stated | ({"d"} if any("flops / (6" in note for note in notes) else frozenset()))
    return Evidence(
        axes=axes,
        settings={**DEFAULTS, "target": target},
        title=source_of(table),
        d_counts="unique" if "e" in axes.column_names else "seen",
        notes=(*notes, *_copies(axes, target)),
    )


def chosen(axes: pa.Table, target: str, rows: RowChoice) -> tuple[pa.Table, list[str]]:
    """Return the rows of mapped columns that count, and what was left out."""
    said = []
    used = [name for name in (*AXES, target, FLOPS) if name in axes.column_names]
    if rows.drop_empty:
        axes, count = without_gaps(axes, used)
        if not axes.num_rows:
            raise BadInput("every row has an empty cell among the columns that are used; map others")
        said += [f"{count:,} rows with an empty cell are left out"] if count else []
    if rows.envelope:
        points = [name for name in AXES if name in axes.column_names]
        axes, count = envelope(_numbers(axes, target), points, target, highest=target in QUALITIES)
        said += [f"{count:,} rows that aren't the best of their point are left out"] if count else []
    return axes, said


def _read(source: Source, rows: RowChoice) -> pa.Table:
    if isinstance(source, str | Path):
        return read_table(source, decimal=rows.decimal)
    if isinstance(source, Store):
        raise BadInput("a store is no table")  # callers ask `is_table` first
    return as_table(source)


def _numbers(axes: pa.Table, target: str) -> pa.Table:
    """Return the table with text that is numbers as numbers; cells that are none are refused with their row."""
    for name in (*AXES, target, FLOPS):
        if name in axes.column_names and is_text(axes.schema.field(name).type):
            place = axes.column_names.index(name)
            values = as_numbers(axes, name)
            axes = axes.set_column(place, name, pa.array(values, from_pandas=True))
    return axes


def _copies(axes: pa.Table, target: str) -> tuple[str, ...]:
    """Return a warning where rows of a table stand in it more than once."""
    names = [name for name in axes.column_names if name in (*AXES, target, GROUP)]
    try:
        copies = axes.num_rows - axes.select(names).group_by(names).aggregate([]).num_rows
    except pa.ArrowNotImplementedError:  # a type that Arrow can't compare, such as lists: the fit has its word on it
        return ()
    if not copies:
        return ()
    return (
        f"{copies:,} of {axes.num_rows:,} rows repeat another to the last digit: if they are copies and no further "
        "seeds, drop them, as they make intervals too narrow",
    )
