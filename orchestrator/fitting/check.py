"""What a table must hold before anything is fitted, and before a law is; each refusal names column, row and fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES, FloatArray, varies
from orchestrator.fitting.law import Law
from orchestrator.fitting.table_words import listed, missing_column, place, source_of
from orchestrator.fitting.text_numbers import as_numbers

#: Sentences of one refusal at most.
MOST_SAID: Final = 8

#: Numbers outside are no size, no amount and no loss: a slip of units or a code for "missing", and products overflow.
LEAST: Final = 1e-50
MOST: Final = 1e50
#: What is said of them.
IMPLAUSIBLE: Final = f"must lie between {LEAST:g} and {MOST:g}; is it in another unit, or a code for a missing value?"

Word = TypeVar("Word", bound=str)

#: Targets that grow with quality, between 0 and 1; every other target is a loss.
QUALITIES: Final = frozenset({"accuracy", "precision_macro", "recall_macro", "f1_macro", "fidelity"})


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
        raise BadInput(f"{place(table, row)}: {target} is {columns[target][row]:g}: must be at most 1 (a share)")
    if "unique_d" in columns and "e" in columns and "d" in columns:
        apart = np.abs(np.log(columns["d"] / (columns["unique_d"] * columns["e"]))) > 0.01
        if apart.any():
            raise BadInput(
                f"{place(table, int(np.argmax(apart)))}: d is not unique_d * e; beside unique_d, d is data seen in "
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
            f"{source_of(table)} has no axis among {', '.join(AXES)} (columns there: {listed(table.column_names)}); "
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
        Naming the column, the row and the value that is not; all columns at once.
    """
    found, wrong = {}, []
    for name in names:
        try:
            found[name] = _numeric(table, name)
        except BadInput as refusal:
            wrong.append(str(refusal))
    if wrong:
        more = f"; and {len(wrong) - MOST_SAID} columns more" if len(wrong) > MOST_SAID else ""
        raise BadInput("; ".join(wrong[:MOST_SAID]) + more)
    return found


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
    if target not in QUALITIES and not law.fits_loss:
        return f"it is a law of a share between 0 and 1, and {target} is none"
    if missing := missing_axes(law, axes):
        columns = ["unique_d (or e)" if axis == "unique_d" else axis for axis in missing]
        return f"the table has no column {' or '.join(columns)}; add it, or name it with `mapping`"
    used = used_axes(law, axes)
    if not used:
        return f"no axis varies; add cells with other values of {' or '.join(axes)}"
    if len(used) < law.fewest_axes:
        return f"it is another law on fewer than {law.fewest_axes} axes; add cells that vary one more"
    return law.obstacle({name: np.log(values) for name, values in used.items()})


def _numeric(table: pa.Table, name: str) -> FloatArray:
    if table.column_names.count(name) > 1:
        raise BadInput(f"{source_of(table)} has {table.column_names.count(name)} columns named {name!r}; keep one")
    column = table[name]
    if column.null_count:
        row = int(np.argmax(pc.is_null(column).to_numpy(zero_copy_only=False)))
        raise BadInput(f"{place(table, row)}: {name} is empty (or nan): fill it in or drop the row")
    values = as_numbers(table, name)
    for bad, why in (
        (~np.isfinite(values), "must be finite"),
        (values <= 0, "must be > 0"),
        ((values < LEAST) | (values > MOST), IMPLAUSIBLE),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise BadInput(f"{place(table, row)}: {name} is {values[row]:g}: {why}")
    return values
