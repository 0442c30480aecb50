"""Many one-row parts → one part, so that a store of ten thousand cells opens in a second."""

from __future__ import annotations

import hashlib

import pyarrow as pa

from orchestrator.errors import Unreachable
from orchestrator.store.listing import FOLDER, Listing
from orchestrator.store.part import encode_part
from orchestrator.store.results import Results


def compact(results: Results) -> int:
    """Copy the rows of the cells' own parts into one part, delete those, and return how many rows were copied.

    A compacted part names its cells itself, so there is no manifest that could contradict it. The order is what makes
    this safe to kill at any instant, and to run twice at once: the compacted part is on disk and has been read back
    before the first own part goes; readers count a cell once however many parts hold it; a compacted part is never
    deleted. Failure rows stay as they are.

    Raises
    ------
    Unreachable
        If the part that was written does not read back equal; nothing was deleted.
    """
    listing = Listing.take(results.blobs)
    held = {cell for table in results.compacted(listing).values() for cell in table["cell_id"].to_pylist()}
    fresh = sorted(key for cell, key in listing.ok.items() if cell not in held)
    try:
        tables = results.reader.read(fresh) if len(fresh) > 1 else {}
    except FileNotFoundError:
        return 0  # another compaction is at it
    if len(tables) > 1:
        table = pa.concat_tables(tables.values()).combine_chunks()
        data = encode_part(table)
        key = f"{FOLDER}/compacted-{hashlib.sha256(data).hexdigest()[:32]}.parquet"
        results.blobs.put_new(key, data)
        copy = results.reader.read([key]).get(key)
        if copy is None or not _equal(copy, table):
            raise Unreachable(f"{results.blobs.uri}: {key} does not read back as it was written; nothing was deleted")
    for key in [*tables, *(key for cell, key in listing.ok.items() if cell in held)]:
        results.blobs.delete(key)
    return len(tables) if len(tables) > 1 else 0


def _equal(a: pa.Table, b: pa.Table) -> bool:
    """Compare as Parquet stores them: NaN equals NaN."""
    return encode_part(a) == encode_part(b)
