"""A table ↔ the bytes of one immutable Parquet part, and the judgement whether bytes are a part at all."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.errors import BadInput
from orchestrator.store.schema import SCHEMA_VERSION, VERSION_KEY


class DamagedPart(Exception):
    """Bytes that are no part, with the reason; readers set them aside (I5)."""


def encode_part(table: pa.Table) -> bytes:
    """Return a table as Parquet bytes with page checksums; equal tables give equal bytes.

    A part of one row is all overhead, so it carries neither dictionaries nor statistics nor the Arrow schema: half
    the bytes, and half the time to read.
    """
    sink = pa.BufferOutputStream()
    large = table.num_rows > 1
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd" if large else "none",
        use_dictionary=large,
        write_statistics=large,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.add_key_value_metadata({VERSION_KEY.decode(): str(SCHEMA_VERSION)})
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def decode_part(data: bytes, schema: pa.Schema, name: str) -> pa.Table:
    """Return the table in a part, in ``schema``; columns that an older version did not have are null.

    Parameters
    ----------
    name
        What to call the part in a refusal.

    Raises
    ------
    DamagedPart
        If the bytes are no Parquet, fail a checksum, hold no row, or hold another schema.
    BadInput
        If a newer scalaw wrote the part.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        version = int((file.metadata.metadata or {})[VERSION_KEY])
    except KeyError as error:
        raise DamagedPart("it carries no schema version: another program wrote it") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedPart(_first_line(error)) from error
    if version < 1:
        raise DamagedPart(f"there is no schema version {version}")
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{name} was written by a newer scalaw (schema {version}, this one reads up to {SCHEMA_VERSION}): "
            "upgrade scalaw"
        )
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
    unknown = there - set(schema.names)
    if version == SCHEMA_VERSION and unknown:
        raise DamagedPart(f"columns that are not in the schema: {', '.join(sorted(unknown))[:80]}")
    columns = [
        table[field.name].cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
