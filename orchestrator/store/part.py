"""A table ↔ the bytes of one immutable Parquet part, and the judgement whether bytes are a part at all.

The footer's metadata end with the part's *seal*, a JSON object: the SHA-256 of the whole file, its own digits zeroed,
so that no bit can flip anywhere unseen; the version of the schema; and in a part of one row the row once more. To open
Parquet takes a millisecond, many times what reading that row takes, and a sweep leaves thousands of such parts.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.errors import BadInput
from orchestrator.store.json_object import NoObject, read_object
from orchestrator.store.schema import ROW_SCHEMA, SCHEMA_VERSION, VERSION_KEY
from orchestrator.store.seal import BLANK, DIGITS, is_whole, sealed

#: Schema version from which every part is sealed; older ones are read by their page checksums.
SEALED_SINCE: Final = 4
#: Key of the seal, and the byte that Thrift puts between a key and its value.
_SEAL: Final = "scalaw.seal"
_MARK: Final = _SEAL.encode() + b"\x18"
_HEAD: Final = b'{"sha256": "'
_TIME: Final = pa.timestamp("us", tz="UTC")
#: Python types of a row in a seal; times are microseconds.
_PLAIN: Final = {pa.string(): str, pa.int64(): int, pa.bool_(): bool, pa.float64(): float, _TIME: int}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INT64: Final = range(-(2**63), 2**63)


class DamagedPart(Exception):
    """Bytes that are no part, with the reason; readers set them aside (I5)."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a sound part holds: one row as plain values, times in microseconds, or a table in its schema.

    Attributes
    ----------
    is_sealed
        Whether a checksum covers all its bytes; False for parts of an older scalaw.
    """

    row: dict[str, Any] | None
    table: pa.Table | None
    is_sealed: bool

    def column(self, name: str) -> list[Any]:
        """Return a column's values."""
        if self.row is not None:
            return [self.row.get(name)]
        assert self.table is not None
        return list(self.table[name].to_pylist())


def encode_part(table: pa.Table) -> bytes:
    """Return a table as sealed Parquet bytes; equal tables give equal bytes.

    A part of one row is all overhead, so it carries no dictionaries, no statistics, no Arrow schema, and no column that
    is null in it: a third of the bytes, and of the time to write.
    """
    if table.num_rows != 1:
        return _encode(table, None)
    table = table.select([name for name in table.column_names if not table[name].null_count])
    return _encode(table, {name: _plain(table[name]) for name in table.column_names})


def encode_row(values: Mapping[str, Any]) -> bytes:
    """Return the part of a row, the same that `encode_part` makes of its table, in half the time.

    Parameters
    ----------
    values
        What of the row is not null, from `row_values`.
    """
    struct = _struct(tuple(values))
    table = pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array([dict(values)], struct))])
    times = {name: (at - _EPOCH) // _MICROSECOND for name, at in values.items() if isinstance(at, datetime)}
    return _encode(table, {**values, **times})


@functools.lru_cache(maxsize=256)  # a sweep's rows have the same few sets of columns
def _struct(names: tuple[str, ...]) -> pa.DataType:
    return pa.struct([ROW_SCHEMA.field(name) for name in names])


def _encode(table: pa.Table, row: Mapping[str, Any] | None) -> bytes:
    large = row is None
    seal = {"sha256": BLANK.decode(), "schema": SCHEMA_VERSION, **({} if row is None else {"row": row})}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd" if large else "none",
        use_dictionary=large,
        write_statistics=large,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.add_key_value_metadata({VERSION_KEY.decode(): str(SCHEMA_VERSION), _SEAL: json.dumps(seal)})
        writer.write_table(table)
    data = bytes(sink.getvalue().to_pybytes())
    found = _find_seal(data)
    assert found is not None
    return sealed(data, found[0] + len(_HEAD))


def read_part(data: bytes, schema: pa.Schema, name: str, types: Mapping[str, type]) -> Part:
    """Return what a part holds, in ``schema``; columns that it lacks are null.

    Parameters
    ----------
    name
        What to call the part in a refusal.
    types
        Those that `plain_types` returns for the schema, which is slow to ask a thousand times.

    Raises
    ------
    DamagedPart
        If the bytes are no Parquet, fail a checksum, hold no row, or hold another schema.
    BadInput
        If a newer scalaw wrote the part.
    """
    found = _find_seal(data)
    if found is None:
        return Part(None, _read_parquet(data, schema, name, is_sealed=False), is_sealed=False)
    begin, end = found
    if not is_whole(data, begin + len(_HEAD)):
        raise DamagedPart("its checksum differs from what was written")
    try:
        seal = read_object(data[begin:end])
        version, row = int(seal["schema"]), seal.get("row")
    except (NoObject, KeyError, TypeError, ValueError) as error:
        raise DamagedPart("its seal can't be read: another program wrote it") from error
    _check_version(version, name)
    if row is None:
        return Part(None, _read_parquet(data, schema, name, is_sealed=True), is_sealed=True)
    return Part(_checked(row, types, version), None, is_sealed=True)


def decode_part(data: bytes, schema: pa.Schema, name: str) -> pa.Table:
    """Return the table in a part, as `read_part` does."""
    return as_table([read_part(data, schema, name, plain_types(schema))], schema)


def as_table(parts: Iterable[Part], schema: pa.Schema) -> pa.Table:
    """Return the rows of several parts as one table: those that lie in seals first, then tables in their order."""
    rows, tables = [], []
    for part in parts:
        if part.row is None:
            tables.append(part.table)
        else:
            rows.append(part.row)
    if rows:
        batch = pa.RecordBatch.from_struct_array(pa.array(rows, pa.struct(list(schema))))
        tables.insert(0, pa.Table.from_batches([batch]).replace_schema_metadata(schema.metadata))
    return pa.concat_tables(tables) if tables else schema.empty_table()


def plain_types(schema: pa.Schema) -> dict[str, type]:
    """Return the Python type of each column's values in a seal."""
    return {field.name: _PLAIN[field.type] for field in schema}


def _plain(column: pa.ChunkedArray) -> Any:
    if column.type == _TIME:
        column = column.cast(pa.int64())
    return column[0].as_py()


def _find_seal(data: bytes) -> tuple[int, int] | None:
    """Return where the seal begins and ends, or ``None`` where there is none.

    The metadata follow all rows and statistics, so the last mark is the seal's.
    """
    at = data.rfind(_MARK)
    if at < 0:
        return None
    size, shift, begin = 0, 0, at + len(_MARK)
    for begin in range(begin, min(begin + 5, len(data))):  # noqa: B020 - Thrift's length: seven bits a byte
        size |= (data[begin] & 0x7F) << shift
        shift += 7
        if data[begin] < 0x80:
            break
    begin += 1
    if not data.startswith(_HEAD, begin) or begin + size > len(data) or size < len(_HEAD) + DIGITS:
        return None
    return begin, begin + size


def _check_version(version: int, name: str) -> None:
    if version < 1:
        raise DamagedPart(f"there is no schema version {version}")
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{name} was written by a newer scalaw (schema {version}, this one reads up to {SCHEMA_VERSION}): "
            "upgrade scalaw"
        )


def _checked(row: Any, types: Mapping[str, type], version: int) -> dict[str, Any]:
    """Return the row of a seal, once it is sure that each value is of its column's type."""
    if not isinstance(row, Mapping):
        raise DamagedPart("its row is none")
    unknown = row.keys() - types.keys()
    if unknown:
        if version == SCHEMA_VERSION:
            _check_names(unknown)
        row = {name: value for name, value in row.items() if name in types}
    for name, value in row.items():
        kind = types[name]
        if type(value) is not kind or (kind is int and value not in _INT64):
            raise DamagedPart(f"its {name} is no {kind.__name__}")
    return dict(row)


def _read_parquet(data: bytes, schema: pa.Schema, name: str, *, is_sealed: bool) -> pa.Table:
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=not is_sealed)
        version = int((file.metadata.metadata or {})[VERSION_KEY])
    except KeyError as error:
        raise DamagedPart("it carries no schema version: another program wrote it") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedPart(_first_line(error)) from error
    _check_version(version, name)
    if version >= SEALED_SINCE and not is_sealed:
        raise DamagedPart("its checksum is missing")
    try:
        table = file.read(use_threads=False)
        table = table.replace_schema_metadata(schema.metadata)
        table = table if table.schema.equals(schema) else _in_schema(table, schema, version)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DamagedPart(_first_line(error)) from error
    if not table.num_rows:
        raise DamagedPart("it holds no row")
    return table


def _in_schema(table: pa.Table, schema: pa.Schema, version: int) -> pa.Table:
    there = set(table.column_names)
    if version == SCHEMA_VERSION:
        _check_names(there - set(schema.names))
    columns = [
        table[field.name].cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _check_names(unknown: Iterable[str]) -> None:
    if unknown:
        raise DamagedPart(f"columns that are not in the schema: {', '.join(sorted(unknown))[:80]}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
