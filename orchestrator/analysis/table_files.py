"""Files of runs as tables, read by DuckDB: csv, tsv, json, jsonl, parquet, compressed, in parts or one."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.fitting.table_words import FIRST_ROW, SOURCE

#: A header wider or longer than this is no header.
MOST_COLUMNS: Final = 10_000
LONGEST_HEADER: Final = 1_000_000
#: Lists and mappings in each other that a JSON line may have; parsers recurse, and a table has plain columns.
DEEPEST: Final = 64
_JSON_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[{\]}]")
#: Kinds of file, and what may be packed around them.
KINDS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
PACKED: Final = (".gz", ".zst")
SUFFIXES: Final = tuple(KINDS)
#: Separators that a header is tried with.
SEPARATORS: Final = (",", ";", "\t", "|")
#: Rows from which a folder's parts are one table at most.
MOST_PARTS: Final = 10_000
#: What DuckDB may not do while it reads: load what isn't part of it, or take Python's variables for tables.
LOCK: Final = (
    "SET python_enable_replacements=false",
    "SET autoinstall_known_extensions=false",
    "SET temp_directory=''",
    "SET TimeZone='UTC'",
)


def kind_of(path: Path) -> str | None:
    """Return csv, json or parquet by a file's name; None for another."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return KINDS.get(suffixes[-1]) if suffixes else None


def parts_of(folder: Path) -> list[Path]:
    """Return the files of a folder that is a table in parts, sorted; none where it is something else."""
    if (folder / "store.json").exists() or (folder / "results").is_dir():
        return []
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(("_", ".")))
    kinds = {kind_of(path) for path in files}
    return files if len(kinds) == 1 and None not in kinds else []


def is_table_name(where: str | Path) -> bool:
    """Return whether a name is that of a table: a file, a folder of parts, a pattern, or a name that ends like one."""
    path = Path(where)
    if path.is_dir():
        return bool(parts_of(path))
    return path.is_file() or kind_of(path) is not None or _is_pattern(where)


def read_table(path: str | Path, *, decimal: str = ".") -> pa.Table:
    """Return the rows of a file, of a folder of parts, or of the files that a pattern names.

    The table remembers the file's name, so that later errors name it and count rows as the file does (the header of
    a CSV is row 1). Nested keys of JSON come as ``outer.inner``.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv``, ``.json``, ``.jsonl`` or ``.parquet``, each also packed (``.gz``, ``.zst``).
    decimal
        The decimal sign of a CSV: ``.`` or ``,``.

    Raises
    ------
    BadInput
        If there is no such file, or it is empty, of another kind or can't be read.
    """
    if decimal not in (".", ","):
        raise BadInput(f"`decimal` {decimal!r}: write . or ,")
    files = _files(path)
    kind, first = kind_of(files[0]), files[0]
    if kind is None:
        suffix = first.suffix.lower() or "(none)"
        shown = ", ".join(SUFFIXES)
        raise BadInput(f"{first}: unknown suffix {suffix!r}: write {shown}, each also with {' or '.join(PACKED)}")
    for file in files:
        if file.stat().st_size == 0:
            raise BadInput(f"{file} is empty")
        if kind == "json" and file.suffix.lower() not in PACKED:
            _check_depth(file)
    options, skipped = _csv_options(first, decimal) if kind == "csv" else ({}, 0)
    try:
        table = _read(kind, files, options)
    except (duckdb.Error, pa.ArrowException, OSError, UnicodeDecodeError) as error:
        ragged = _ragged(first, options["delim"], skipped) if kind == "csv" else None
        said = str(error).strip().splitlines()[0].replace(str(first), first.name)
        shown = first.suffix.lower()[1:]
        raise BadInput(f"{path} can't be read as {shown}: {ragged or said}") from error
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    if table.num_rows == 0:
        raise BadInput(f"{path} has no rows")
    first_row = str(2 + skipped).encode() if kind == "csv" else b"1"
    return table.replace_schema_metadata({SOURCE: Path(path).name.encode(), FIRST_ROW: first_row})


def _files(path: str | Path) -> list[Path]:
    where = Path(path)
    if where.is_dir():
        found = parts_of(where)
        if not found:
            raise BadInput(f"{path} is a folder, and no table in parts: name one file ({', '.join(SUFFIXES)})")
        return _few(path, found)
    if not where.exists() and _is_pattern(path):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207 (a pattern may be absolute)
        if not found:
            raise BadInput(f"{path}: no file has such a name")
        if len({kind_of(file) for file in found}) > 1:
            raise BadInput(f"{path} names files of several kinds; name those of one")
        return _few(path, found)
    if not where.exists():
        raise BadInput(f"{path}: no such file")
    return [where]


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


def _few(path: str | Path, found: list[Path]) -> list[Path]:
    if len(found) > MOST_PARTS:
        raise BadInput(f"{path} has {len(found):,} parts; at most {MOST_PARTS:,} are read")
    return found


def _is_pattern(path: str | Path) -> bool:
    return any(sign in str(path) for sign in "*?[")


def _read(kind: str, files: Sequence[Path], options: dict[str, Any]) -> pa.Table:
    names = [_escaped(file) for file in files]
    con = duckdb.connect(":memory:")
    try:
        for setting in LOCK:
            con.execute(setting)
        if kind == "parquet":
            reader = "read_parquet($files, union_by_name=true)"
        elif kind == "json":
            reader = "read_json($files, union_by_name=true, sample_size=-1, maximum_object_size=268435456)"
        else:
            given = ", ".join(f"{name}=${name}" for name in options)
            reader = f"read_csv($files, union_by_name=true, sample_size=-1, header=true, strict_mode=true, {given})"
        return con.sql(f"SELECT * FROM {reader}", params={"files": names, **options}).to_arrow_table()
    finally:
        con.close()


def _escaped(file: Path) -> str:
    """A file's name with nothing in it that DuckDB takes for a pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(file))


def _csv_options(path: Path, decimal: str) -> tuple[dict[str, Any], int]:
    """Return how DuckDB reads a CSV, and how many lines of comment stand before its header."""
    text = _beginning(path)
    lines = text.splitlines() or [""]
    skipped = 0
    while skipped < len(lines) - 1 and lines[skipped].lstrip().startswith("#"):
        skipped += 1
    header = lines[skipped]
    if len(header) >= LONGEST_HEADER:
        raise BadInput(f"{path}: its first line is longer than {LONGEST_HEADER:,} bytes: is it a CSV with a header?")
    if not header.strip():
        raise BadInput(f"{path}: its first line is blank; a CSV starts with a header")
    separators = [sign for sign in SEPARATORS if sign != decimal]
    delimiter = max(separators, key=header.count) if path.suffixes[0].lower() != ".tsv" else "\t"
    names = next(csv.reader([header], delimiter=delimiter), [])
    if len(names) > MOST_COLUMNS:
        raise BadInput(f"{path} has {len(names):,} columns in its header; at most {MOST_COLUMNS:,} are read")
    twice = next((name for k, name in enumerate(names) if name and name in names[:k]), None)
    if twice is not None:
        raise BadInput(f"{path.name}: {names.count(twice)} columns are named {twice!r}; keep one")
    options: dict[str, Any] = {"delim": delimiter, "decimal_separator": decimal, "quote": '"'}
    if decimal == ",":
        options["thousands"] = "."
    return options | ({"comment": "#"} if skipped else {"skip": 0}), skipped


def _beginning(path: Path) -> str:
    """Return the first lines of a CSV; of a packed one by DuckDB."""
    if path.suffix.lower() not in PACKED:
        with path.open("rb") as file:
            beginning = file.read(LONGEST_HEADER + 1)
        try:
            return beginning.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if error.start < len(beginning) - 4:  # a letter cut in two at the end is none of the file's faults
                raise BadInput(f"{path} can't be read as csv: byte {error.start} is no UTF-8") from error
            return beginning[: error.start].decode("utf-8-sig")
    con = duckdb.connect(":memory:")
    try:
        reader = "read_csv($file, header=false, all_varchar=true, delim='\\0', quote='', escape='')"
        rows = con.execute(f"SELECT * FROM {reader} LIMIT 100", {"file": _escaped(path)}).fetchall()
    except duckdb.Error as error:
        raise BadInput(f"{path} can't be read as csv: {str(error).splitlines()[0]}") from error
    finally:
        con.close()
    return "\n".join(str(row[0]) for row in rows)


def _ragged(path: Path, delimiter: str, skipped: int) -> str | None:
    """Return which line of a CSV has more or fewer fields than its header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, delimiter=delimiter)
            width = None
            for row in rows:
                if rows.line_num <= skipped or not row:
                    continue
                width = width or len(row)
                if len(row) != width:
                    return f"line {rows.line_num}: expected {width} columns, got {len(row)}"
    except (csv.Error, UnicodeDecodeError):  # nothing that this reader can count either
        return None
    return None
