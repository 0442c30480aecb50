"""How messages name a table, its columns and its rows."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

#: Keys of the schema metadata by which a table remembers its file and the row number of its first row there.
SOURCE: Final = b"scalaw.source"
FIRST_ROW: Final = b"scalaw.first_row"
#: Columns that a table carries for messages and for groups: a row's number from 0 in its file, and what it hangs with.
ROW: Final = "scalaw.row"
GROUP: Final = "scalaw.group"


def missing_column(table: pa.Table, name: str, what: str | None = None) -> str:
    """Return one sentence for a column that isn't there, and what it is for, with the nearest or all that are."""
    near = difflib.get_close_matches(name, table.column_names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"columns there: {listed(table.column_names)}"
    return f"{source_of(table)} has no column {name!r}{f' for the {what}' if what else ''}: {hint}"


def source_of(table: pa.Table) -> str:
    """Return what to call a table in a message: its file's name where it came from one."""
    name: bytes = (table.schema.metadata or {}).get(SOURCE, b"the table")
    return name.decode()


def place(table: pa.Table, row: int) -> str:
    """Return how a message names a row: by its number in the file, also where others were left out."""
    if ROW in table.column_names:
        row = int(table[ROW][row].as_py())
    first = int((table.schema.metadata or {}).get(FIRST_ROW, b"1"))
    return f"row {first + row} of {source_of(table)}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names with commas between them, the first of very many."""
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
