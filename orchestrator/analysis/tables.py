"""Reading a table of runs from a file, and naming its columns."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES
from orchestrator.fitting.check import FIRST_ROW, SOURCE, check_names, missing_column, source_of

#: A header wider or longer than this is no header.
MOST_COLUMNS: Final = 10_000
LONGEST_HEADER: Final = 1_000_000
#: Lists and mappings in each other that a JSON line may have; parsers recurse, and a table has plain columns.
DEEPEST: Final = 64
_JSON_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[{\]}]")
SUFFIXES: Final = (".csv", ".parquet", ".jsonl")


def read_table(path: str | Path) -> pa.Table:
    """Return the rows of a ``.csv``, ``.parquet`` or ``.jsonl`` file.

    The table remembers the file's name, so that later errors name it and count rows as the file does (the header of
    a CSV is row 1).

    Raises
    ------
    BadInput
        If the file is missing, empty, of another kind or can't be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    if not path.is_file():
        raise BadInput(f"{path} is a folder: name one file ({', '.join(SUFFIXES)})")
    if suffix not in SUFFIXES:
        raise BadInput(f"{path}: unknown suffix {suffix or '(none)'!r}: write {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty")
    try:
        if suffix == ".csv":
            table = _read_csv(path)
        elif suffix == ".parquet":
            table = pyarrow.parquet.ParquetFile(path).read()
        else:
            _check_depth(path)
            table = pyarrow.json.read_json(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        raise BadInput(f"{path} can't be read as {suffix[1:]}: {first}") from error
    if table.num_rows == 0:
        raise BadInput(f"{path} has no rows")
    first_row = b"2" if suffix == ".csv" else b"1"
    return table.replace_schema_metadata(
        {**(table.schema.metadata or {}), SOURCE: path.name.encode(), FIRST_ROW: first_row}
    )


def parse_map(text: str) -> dict[str, str]:
    """Return ``{"n": "size", "loss": "l"}`` for ``"n=size,loss=l"``.

    Raises
    ------
    BadInput
        If a part is not NAME=COLUMN, or a name comes twice.
    """
    mapping: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not (name and equals and column):
            raise BadInput(
                f"`mapping` {text!r}: {part.strip()!r} is not NAME=COLUMN; write n=size,d=tokens,loss=val_loss"
            )
        if name in mapping:
            raise BadInput(f"`mapping` {text!r}: {name} is named twice")
        mapping[name] = column
    return mapping


def map_columns(table: pa.Table, mapping: Mapping[str, str], target: str = "loss", keep: str | None = None) -> pa.Table:
    """Return the axes and the target of a table under their own names; other columns are dropped.

    Parameters
    ----------
    mapping
        Axis or target to column; names not in it are taken from the column of that name, where there is one.
    keep
        A column that is kept beside them under its own name.

    Raises
    ------
    BadInput
        For a name that is neither axis nor target, a column that isn't there, or no axis or target.
    """
    known = (*AXES, target)
    chosen: dict[str, pa.ChunkedArray] = {}
    for name, column in mapping.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise BadInput(f"unknown axis {name!r} in the column map: {hint}")
        if column not in table.column_names:
            raise BadInput(missing_column(table, column, name))
    for name in known:
        column = mapping.get(name, name)
        count = table.column_names.count(column)
        if count > 1:
            raise BadInput(f"{source_of(table)}: {count} columns are named {column!r}; keep one")
        if count:
            chosen[name] = table[column]
    if keep is not None:
        if table.column_names.count(keep) != 1:
            raise BadInput(missing_column(table, keep))
        chosen.setdefault(keep, table[keep])
    check_names(table, list(chosen), target)
    return pa.table(chosen).replace_schema_metadata(table.schema.metadata)


def _read_csv(path: Path) -> pa.Table:
    with path.open("rb") as file:
        line = file.readline(LONGEST_HEADER + 1)
    header = line.decode("utf-8-sig")
    if len(line) > LONGEST_HEADER:
        raise BadInput(f"{path}: its first line is longer than {LONGEST_HEADER:,} bytes: is it a CSV with a header?")
    delimiter = max((",", ";", "\t"), key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    if len(names) > MOST_COLUMNS:
        raise BadInput(f"{path} has {len(names):,} columns in its header; at most {MOST_COLUMNS:,} are read")
    if not header.strip():
        raise BadInput(f"{path}: its first line is blank; a CSV starts with a header")
    try:
        return pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter))
    except pa.ArrowInvalid as error:
        ragged = _ragged(path, delimiter, len(names))
        if ragged is None:
            raise
        raise BadInput(f"{path} can't be read as csv: {ragged}") from error


def _check_depth(path: Path) -> None:
    """Refuse JSON lines that nest deeper than a parser can go.

    Raises
    ------
    BadInput
        With the line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.count(b"[") + line.count(b"{") <= DEEPEST:
                continue
            depth = 0
            for bracket in _BRACKET.finditer(_JSON_TEXT.sub(b"", line)):
                depth += 1 if bracket[0] in b"[{" else -1
                if depth > DEEPEST:
                    raise BadInput(
                        f"{path}: line {number} nests more than {DEEPEST} levels deep: a table has one plain value a "
                        "column"
                    )


def _ragged(path: Path, delimiter: str, width: int) -> str | None:
    """Return which line of a CSV has more or fewer fields than its header, which Arrow's threads can't tell."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, delimiter=delimiter)
            for row in rows:
                if row and len(row) != width:
                    return f"line {rows.line_num}: expected {width} columns, got {len(row)}"
    except csv.Error:  # nothing that this reader can count either
        return None
    return None
