"""Commits a second with fsync, and the time to read a store of one-row parts before and after compaction.

    python benchmarks/store_commits.py [--cells 1000 10000]

Commits are timed in 5 rounds of 200 in a folder store; reads and ``done()`` by a freshly opened store, its files in the
page cache. The store lies in the folder for temporary files: set TMPDIR to measure another disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from table import machine, median_s, print_table

from orchestrator.store import Store, open_store, query

ROUNDS, COMMITS = 5, 200
READS = 3


def row(number: int) -> dict[str, Any]:
    """Return a row with about as many columns filled as a trained cell has."""
    now = datetime.now(UTC)
    losses = dict.fromkeys(("train_loss", "val_loss", "test_loss", "bits_per_byte"), 1.0 + 1 / (number + 1))
    counts = dict.fromkeys(("params_total", "params_non_embedding", "data_examples", "data_tokens", "steps"), number)
    costs = dict.fromkeys(("flops", "flops_evaluation", "wall_s", "device_s"), 1e12)
    text = {"task": "benchmark", "data_digest": "0" * 64, "device_kind": "cpu", "worker": "worker-0", "status": "ok"}
    times = {"started_at": now, "finished_at": now}
    return {"cell_id": f"{number:064x}", "seed": 0, **text, **losses, **counts, **costs, **times}


def commits_per_s(folder: Path) -> float:
    """Return the median over rounds."""
    store = open_store(str(folder / "commits"), create=True)
    numbers = iter(range(ROUNDS * COMMITS))

    def commit() -> None:
        for _ in range(COMMITS):
            store.commit_row(row(next(numbers)))

    return COMMITS / median_s(commit, ROUNDS)


def reading(store: Store, cells: int) -> list[str]:
    """Return the times of ``results()``, ``done()`` and one query."""

    def check(found: int) -> None:
        if found != cells:
            raise AssertionError(f"{found} of {cells} rows were found")

    return [
        f"{median_s(lambda: check(open_store(store.uri).results().num_rows), READS):.3f}",
        f"{median_s(lambda: check(len(open_store(store.uri).done())), READS):.3f}",
        f"{median_s(lambda: query(open_store(store.uri), 'select min(val_loss) from results'), READS):.3f}",
    ]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 10000], help="sizes of the stores that are read")
    arguments = parser.parse_args()
    print(f"{machine()}; medians of {ROUNDS} x {COMMITS} commits and of {READS} reads\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        rate = commits_per_s(Path(folder))
        print_table(["commits/s, fsync included", "ms a commit"], [[f"{rate:.0f}", f"{1000 / rate:.2f}"]])
        for cells in arguments.cells:
            store = open_store(f"{folder}/{cells}", create=True)
            for number in range(cells):
                store.commit_row(row(number))
            rows.append([f"{cells:,}", "one a cell", *reading(store, cells), ""])
            begun = time.perf_counter()
            store.compact()
            spent = f"{time.perf_counter() - begun:.2f}"
            rows.append([f"{cells:,}", "compacted", *reading(store, cells), spent])
    print()
    print_table(["cells", "parts", "results() s", "done() s", "query s", "compact() s"], rows)


if __name__ == "__main__":
    main()
