"""Flips single bits of what lies in a store, and counts those that would give another value or a traceback.

    python benchmarks/store_flips.py [--random 20000]

Every bit of a part of one row is flipped, and so many random ones of a compacted part (1,000 rows), a part of fits, a
sweep's document, the store's name and a checkpoint (1 MB). *Found*: the reader says that it is damaged. *Harmless*: it
reads what was written. *Silent*: it reads something else. *Traceback*: it raises what no verb turns into one line.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from store_commits import row
from table import machine, print_table

from orchestrator.errors import ScalawError
from orchestrator.store import Store, open_store
from orchestrator.store.checkpoints import DamagedCheckpoint, Progress
from orchestrator.store.documents import DamagedDocument, decode_document
from orchestrator.store.identity import KEY, read_identity
from orchestrator.store.part import DamagedPart, decode_part
from orchestrator.store.schema import FITS_SCHEMA, ROW_SCHEMA

#: What a reader raises where it has found damage.
FOUND = (DamagedPart, DamagedDocument, DamagedCheckpoint)
SEED = 0


def flipped(data: bytes, bits: Iterable[int]) -> Iterator[bytes]:
    """Yield the bytes with one bit flipped, for each of some bits."""
    for bit in bits:
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        yield bytes(broken)


def outcomes(data: bytes, bits: Iterable[int], read: Callable[[bytes], Any]) -> Counter[str]:
    """Return how often each thing happens to a reader."""
    written = read(data)
    counts: Counter[str] = Counter()
    for broken in flipped(data, bits):
        try:
            found = read(broken)
        except FOUND:
            counts["found"] += 1
        except ScalawError:
            counts["refused as newer"] += 1
        except Exception:
            counts["traceback"] += 1
        else:
            counts["harmless" if found == written else "silent"] += 1
    return counts


def fits_table() -> pa.Table:
    """Return fits of five parameters."""
    common = {"sweep": "a", "task": "text", "law": "product", "n_rows": 9, "best": True, "fitted_at": datetime.now(UTC)}
    figures = [{**common, "parameter": name, "value": k / 3, "lo": 0.1, "hi": 2.0} for k, name in enumerate("abcde")]
    return pa.Table.from_pylist(figures, schema=FITS_SCHEMA)


def subjects(store: Store) -> dict[str, tuple[bytes, Callable[[bytes], Any]]]:
    """Return what is flipped: its bytes, and how they are read into something that can be compared."""

    def rows(data: bytes) -> list[Any]:
        return decode_part(data, ROW_SCHEMA, "part").to_pylist()

    for number in range(1000):
        store.commit_row(row(number))
    single = store.blobs.get(f"results/{7:064x}.parquet")
    store.compact()
    (compacted,) = store.blobs.list("results")
    store.commit_fits(fits_table())
    (fits,) = store.blobs.list("fits")
    store.save_sweep("a", {"cells": [f"{number:064x}" for number in range(100)], "task": "text"})
    checkpoints, stage = store.checkpoints, "5a" * 32
    checkpoints.save(stage, Progress.BEGUN, 7, np.random.default_rng(SEED).bytes(1_000_000))
    (checkpoint,) = checkpoints.keys()

    def load(data: bytes) -> Any:
        get, store.blobs.get = store.blobs.get, lambda key: data  # type: ignore[method-assign]
        try:
            return checkpoints.inspect(checkpoint)
        finally:
            store.blobs.get = get  # type: ignore[method-assign]

    return {
        "a part of one row": (single, rows),
        "a compacted part": (store.blobs.get(compacted), rows),
        "a part of fits": (store.blobs.get(fits), lambda data: decode_part(data, FITS_SCHEMA, "part").to_pylist()),
        "a sweep's document": (
            store.blobs.get("sweeps/a/1.json"),
            lambda data: decode_document(data, "document", must_be_sealed=True),
        ),
        "the store's name": (store.blobs.get(KEY), lambda data: read_identity(data, "store")),
        "a checkpoint": (store.blobs.get(checkpoint), load),
    }


def main() -> None:
    """Flip, count and print; exit 1 where a flip was silent or gave a traceback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=20_000, help="random bits of what is larger than one row")
    arguments = parser.parse_args()
    print(f"{machine()}; seed {SEED}\n")
    columns = ["found", "harmless", "refused as newer", "silent", "traceback"]
    table, bad = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (data, read) in subjects(open_store(f"{folder}/store", create=True)).items():
            every = range(8 * len(data))
            draws = random.Random(SEED)
            bits = every if name == "a part of one row" else draws.choices(every, k=arguments.random)
            begun = time.perf_counter()
            counts = outcomes(data, bits, read)
            bad += counts["silent"] + counts["traceback"]
            spent = f"{time.perf_counter() - begun:.0f}"
            table.append([name, f"{len(data):,}", f"{len(bits):,}", *(f"{counts[c]:,}" for c in columns), spent])
    print_table(["of", "bytes", "bits flipped", *columns, "s"], table)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
