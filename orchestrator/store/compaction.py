"""Many one-row parts → one part, so that a store of ten thousand cells opens in a second."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pyarrow as pa

from orchestrator.errors import Unreachable
from orchestrator.store.listing import FOLDER, Listing
from orchestrator.store.part import as_table, encode_part
from orchestrator.store.part_reader import THREADS
from orchestrator.store.results import Results, cells_of
from orchestrator.store.schema import ROW_SCHEMA

#: Single parts from which it is worth while to merge them, so that reading stays fast.
WORTHWHILE: Final = 1_000


def compact(results: Results, *, at_least: int = 2) -> int:
    """Copy the rows of the cells' own parts into one part, delete those, and return how many rows were copied.

    A compacted part names its cells itself, so there is no manifest that could contradict it. The order is what makes
    this safe to kill at any instant, and to run twice at once: the compacted part is on disk and has been read back
    before the first own part goes; readers count a cell once however many parts hold it; a compacted part is never
    deleted. Failure rows stay as they are.

    Parameters
    ----------
    results
        The rows of a store; it keeps the compacted parts that it has read.
    at_least
        Own parts that make it worth while; with fewer nothing is copied.

    Raises
    ------
    BadInput
        If a newer scalaw wrote a part.
    Unreachable
        If the part that was written does not read back equal; nothing was deleted.
    """
    blobs = results.blobs
    listing = Listing.take(blobs)
    compacted, complete = results.compacted(listing)
    held = cells_of(compacted.values())
    copied = [key for cell, key in listing.ok.items() if cell in held]
    fresh = sorted(key for cell, key in listing.ok.items() if cell not in held)
    if not complete:
        return 0
    done: list[str] = []
    if len(fresh) >= max(at_least, 2):
        tables = []
        for found in results.reader.batches(fresh):
            if found.gone:
                return 0  # another compaction is at it
            tables.append(as_table(found.parts.values(), ROW_SCHEMA))
            done += found.parts
        if done:
            _write(results, pa.concat_tables(tables).combine_chunks())
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(blobs.delete, [*done, *copied]))
    return len(done)


def _write(results: Results, table: pa.Table) -> None:
    data = encode_part(table)
    key = f"{FOLDER}/compacted-{hashlib.sha256(data).hexdigest()[:32]}.parquet"
    results.blobs.put_new(key, data)
    copy = results.reader.read([key]).parts.get(key)
    if copy is None or encode_part(as_table([copy], ROW_SCHEMA)) != data:  # bytes, because a NaN equals no NaN
        raise Unreachable(f"{results.blobs.uri}/{key} does not read back as it was written; nothing was deleted")
