"""Which rows of a table count: a condition in SQL, rows with gaps left out, the lowest loss of each point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import BadInput
from orchestrator.fitting.table_words import ROW

#: No files, no network, no Python variables as tables, no spilling to disk; and none of it to be undone.
LOCK: Final = (
    "SET TimeZone='UTC'",
    "SET temp_directory=''",
    "SET python_enable_replacements=false",
    "SET enable_external_access=false",
    "SET lock_configuration=true",
)


def numbered(table: pa.Table) -> pa.Table:
    """Return the table with the number of each row, so that messages still name it once others are gone."""
    if ROW in table.column_names:
        return table
    return table.append_column(ROW, pa.array(range(table.num_rows), pa.int64()))


def where_holds(table: pa.Table, condition: str) -> pa.Table:
    """Return the rows for which a condition in DuckDB's SQL holds.

    Raises
    ------
    BadInput
        If it is no condition over the table's columns, reaches for anything else, or holds for no row.
    """
    con = duckdb.connect(":memory:")
    try:
        statement = con.extract_statements(f"SELECT * FROM runs WHERE ({condition}\n)")
        if len(statement) != 1 or statement[0].type != duckdb.StatementType.SELECT:
            raise BadInput("`where` takes one condition, such as State = 'finished'")
        con.register("runs", table)
        for setting in LOCK:
            con.execute(setting)
        found: pa.Table = con.sql(statement[0].query).to_arrow_table()
    except duckdb.Error as failure:
        raise BadInput(f"`where`: {str(failure).strip().splitlines()[0]}") from failure
    finally:
        con.close()
    if found.column_names != table.column_names:
        raise BadInput("`where` takes one condition, such as State = 'finished'")
    if found.num_rows == 0:
        raise BadInput(f"`where` {condition!r} holds for none of the {table.num_rows:,} rows")
    return found.replace_schema_metadata(table.schema.metadata)


def without_gaps(table: pa.Table, names: Sequence[str]) -> tuple[pa.Table, int]:
    """Return the rows in which none of some columns is empty or nan, and how many are left out."""
    keep = None
    for name in names:
        column = table[name]
        there = pc.is_valid(column)
        if pa.types.is_floating(column.type):
            there = pc.and_(there, pc.invert(pc.fill_null(pc.is_nan(column), True)))
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            there = pc.and_(there, pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(column), ""), False))
        keep = there if keep is None else pc.and_(keep, there)
    if keep is None:
        return table, 0
    kept = table.filter(keep)
    return kept, table.num_rows - kept.num_rows


def envelope(table: pa.Table, axes: Sequence[str], target: str, *, highest: bool) -> tuple[pa.Table, int]:
    """Return the best row of each point of the axes, and how many others are left out."""
    best: dict[tuple[object, ...], int] = {}
    values = table[target].to_pylist()
    points = list(zip(*(table[axis].to_pylist() for axis in axes), strict=True))
    for row, (point, value) in enumerate(zip(points, values, strict=True)):
        if value is None or value != value:  # an empty cell or nan is best of nothing
            continue
        held = best.get(point)
        if held is None or (value > values[held] if highest else value < values[held]):
            best[point] = row
    return table.take(sorted(best.values())), table.num_rows - len(best)
