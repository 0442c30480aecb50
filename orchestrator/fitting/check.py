"""What a table must hold before anything is fitted, and before a law is; each refusal names column, row and fix."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES, FloatArray, varies
from orchestrator.fitting.law import Law

#: Keys of the schema metadata by which a table remembers its file and the row number of its first row there.
SOURCE: Final = b"scalaw.source"
FIRST_ROW: Final = b"scalaw.first_row"

#: Numbers outside are no size, no amount and no loss: a slip of units or a code for "missing", and products overflow.
LEAST: Final = 1e-50
MOST: Final = 1e50

Word = TypeVar("Word", bound=str)

#: Targets that grow with quality, between 0 and 1; every other target is a loss.
QUALITIES: Final = frozenset({"accuracy", "precision_macro", "recall_macro", "f1_macro", "fidelity"})
#: What is said of them.
IMPLAUSIBLE: Final = f"must lie between {LEAST:g} and {MOST:g}; is it in another unit, or a code for a missing value?"


def one_of(what: str, given: str, known: Sequence[Word]) -> Word:
    """Return the word among some known ones.

    Raises
    ------
    BadInput
        If it is another.
    """
    for word in known:
        if given == word:
            return word
    raise BadInput(f"{what} {given!r}: expected one of {', '.join(known)}")


def check_table(table: pa.Table, target: str) -> dict[str, FloatArray]:
    """Return the axes present and the target as arrays of shape (rows,).

    Raises
    ------
    BadInput
        If there are no rows, no axis or no target, or a value is missing, no number, infinite, not above zero, or
        beyond all sizes; a quality (accuracy) must be at most 1.
    """
    if table.num_rows == 0:
        raise BadInput(f"{source_of(table)} has no rows")
    axes = check_names(table, table.column_names, target)
    columns = numeric_columns(table, [*axes, target])
    if target in QUALITIES and (columns[target] > 1).any():
        row = int(np.argmax(columns[target] > 1))
        raise BadInput(f"{_place(table, row)}: {target} is {columns[target][row]:g}: must be at most 1 (a share)")
    if "unique_d" in columns and "e" in columns and "d" in columns:
        apart = np.abs(np.log(columns["d"] / (columns["unique_d"] * columns["e"]))) > 0.01
        if apart.any():
            raise BadInput(
                f"{_place(table, int(np.argmax(apart)))}: d is not unique_d * e; beside unique_d, d is data seen in "
                "total: leave out e, or leave out unique_d where d is unique data"
            )
    return columns


def check_names(table: pa.Table, names: Sequence[str], target: str) -> list[str]:
    """Return the axes among the names that a table's columns go by.

    Raises
    ------
    BadInput
        If there is no axis, or no target.
    """
    axes = [name for name in AXES if name in names and name != target]
    if not axes:
        raise BadInput(
            f"{source_of(table)} has no axis among {', '.join(AXES)} (columns there: {_listed(table.column_names)}); "
            f"name them with `mapping` n=COLUMN,d=COLUMN,{target}=COLUMN"
        )
    if target not in names:
        raise BadInput(missing_column(table, target, "target"))
    return axes


def numeric_columns(table: pa.Table, names: Sequence[str]) -> dict[str, FloatArray]:
    """Return columns as positive, finite arrays of shape (rows,).

    Raises
    ------
    BadInput
        Naming the column, the row and the value that is not.
    """
    return {name: _numeric(table, name) for name in names}


def used_axes(law: Law, axes: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the axes that a law uses: those it requires, and optional ones that vary."""
    return {a: x for a, x in axes.items() if a in law.required or (a in law.optional and varies(x))}


def missing_axes(law: Law, axes: Mapping[str, FloatArray]) -> list[str]:
    """Return the axes that a law requires and that aren't there."""
    return [axis for axis in law.required if axis not in axes]


def obstacle(law: Law, axes: Mapping[str, FloatArray], target: str) -> str | None:
    """Say why rows can't carry a law of a target and what to add, or None where they can."""
    if target in QUALITIES and not law.fits_quality:
        return f"it is a law of a loss, and {target} is a share that grows; fit a loss with it"
    if missing := missing_axes(law, axes):
        columns = ["unique_d (or e)" if axis == "unique_d" else axis for axis in missing]
        return f"the table has no column {' or '.join(columns)}; add it, or name it with `mapping`"
    used = used_axes(law, axes)
    if not used:
        return f"no axis varies; add cells with other values of {' or '.join(axes)}"
    if len(used) < law.fewest_axes:
        return f"it is another law on fewer than {law.fewest_axes} axes; add cells that vary one more"
    return law.obstacle({name: np.log(values) for name, values in used.items()})


def missing_column(table: pa.Table, name: str, what: str | None = None) -> str:
    """Return one sentence for a column that isn't there, and what it is for, with the nearest or all that are."""
    near = difflib.get_close_matches(name, table.column_names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"columns there: {_listed(table.column_names)}"
    return f"{source_of(table)} has no column {name!r}{f' for the {what}' if what else ''}: {hint}"


def source_of(table: pa.Table) -> str:
    """Return what to call a table in a message: its file's name where it came from one."""
    name: bytes = (table.schema.metadata or {}).get(SOURCE, b"the table")
    return name.decode()


def _numeric(table: pa.Table, name: str) -> FloatArray:
    if table.column_names.count(name) > 1:
        raise BadInput(f"{source_of(table)} has {table.column_names.count(name)} columns named {name!r}; keep one")
    column = table[name].combine_chunks()
    if column.null_count:
        row = int(np.argmax(pc.is_null(column).to_numpy(zero_copy_only=False)))
        raise BadInput(f"{_place(table, row)}: {name} is empty (or nan): fill it in or drop the row")
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise BadInput(_not_numeric(table, name, column))
    values: FloatArray = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    for bad, why in (
        (~np.isfinite(values), "must be finite"),
        (values <= 0, "must be > 0"),
        ((values < LEAST) | (values > MOST), IMPLAUSIBLE),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise BadInput(f"{_place(table, row)}: {name} is {values[row]:g}: {why}")
    return values


def _not_numeric(table: pa.Table, name: str, column: pa.Array) -> str:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        for row, text in enumerate(column.to_pylist()):
            try:
                good = math.isfinite(float(text))
            except ValueError:
                good = False
            if not good:
                return f"{_place(table, row)}: {name} is {text!r}: not a number"
    return f"column {name} of {source_of(table)} holds {column.type}, not numbers"


def _place(table: pa.Table, row: int) -> str:
    first = int((table.schema.metadata or {}).get(FIRST_ROW, b"1"))
    return f"row {first + row} of {source_of(table)}"


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
