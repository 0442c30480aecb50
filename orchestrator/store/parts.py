"""Parts → one table: whole parts in the current schema, damaged ones named."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.errors import BadInput
from orchestrator.store.blobs import Blobs
from orchestrator.store.schema import SCHEMA_VERSION, VERSION_KEY

#: Parts read at the same time; they are small, so latency rules.
READERS = 16


def read_parts(blobs: Blobs, keys: Sequence[str], schema: pa.Schema) -> tuple[pa.Table, list[str]]:
    """Return the rows of some parts and the keys of those that are damaged.

    Raises
    ------
    BadInput
        If a newer scalaw wrote one of them.
    """
    with ThreadPoolExecutor(READERS) as readers:
        parts = list(readers.map(lambda key: read_part(blobs, key, schema), keys))
    damaged = [key for key, part in zip(keys, parts, strict=True) if part is None]
    whole = [part for part in parts if part is not None]
    return pa.concat_tables([schema.empty_table(), *whole]).combine_chunks(), damaged


def read_part(blobs: Blobs, key: str, schema: pa.Schema) -> pa.Table | None:
    """Return a part in the given schema, columns that it lacks as nulls, or ``None`` where it is damaged.

    Raises
    ------
    BadInput
        If a newer scalaw wrote it.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(blobs.get(key)))
        version = int((file.schema_arrow.metadata or {}).get(VERSION_KEY, b"0"))
        table = file.read(use_threads=False) if 0 < version <= SCHEMA_VERSION else None
    except (pa.ArrowException, OSError, ValueError):
        return None
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{blobs.uri}/{key} was written by a newer scalaw (schema {version}, this one reads up to {SCHEMA_VERSION}): "
            "upgrade scalaw"
        )
    if table is None or not table.num_rows:
        return None
    have = set(table.column_names)
    columns = [table[f.name].cast(f.type) if f.name in have else pa.nulls(table.num_rows, f.type) for f in schema]
    return pa.table(columns, schema=schema)
