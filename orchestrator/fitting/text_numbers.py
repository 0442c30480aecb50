"""Numbers that a table holds as text: ``"20000000"``, ``12M``, ``1e9``; and those that it holds as numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.table_words import place, source_of


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column's type is text, also behind a dictionary of its values."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def as_numbers(table: pa.Table, name: str) -> FloatArray:
    """Return a column as numbers, shape (rows,); nan where a cell is empty.

    Raises
    ------
    BadInput
        If it holds anything else, or a cell of text is no number; with its row.
    """
    column = table[name].combine_chunks() if isinstance(table[name], pa.ChunkedArray) else table[name]
    if is_text(column.type):
        return _read(table, name, column)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise BadInput(f"column {name} of {source_of(table)} holds {kind}, not numbers")
    values: FloatArray = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _read(table: pa.Table, name: str, column: pa.Array) -> FloatArray:
    known: dict[str | None, float] = {None: np.nan, "": np.nan}
    values = np.empty(len(column))
    for row, text in enumerate(column.to_pylist()):
        if text not in known:
            known[text] = _number(text, f"{place(table, row)}: {name}")
        values[row] = known[text]
    return values


def _number(text: str, where: str) -> float:
    plain = text.strip().strip("\"'")
    try:
        return float(plain) if plain else float("nan")
    except ValueError:
        from orchestrator.spec.quantities import parse_real  # pydantic, which most fits do without

        try:
            return parse_real(plain)
        except ValueError:
            raise BadInput(f"{where} is {text!r}: not a number") from None
