"""A store of many cells: commits while parts are merged beside them, then what readers and a resumed run wait for.

    python benchmarks/store_scale.py [--cells 2000 10000 50000]

Rows are committed by two processes, as by workers; a third merges parts every 1,000 rows, as the driver does, and a
fourth reads on and counts rows that it misses or sees twice. RSS is that of a fresh process after ``done()`` and
``results()``, less what importing takes. With ``--single`` nothing is merged: the worst case of a reader.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from store_commits import row
from table import machine, print_table

from orchestrator.store import open_store
from orchestrator.store.compaction import WORTHWHILE

WRITERS = 2
READ_EVERY_S = 0.5


def write(uri: str, numbers: range, answer: Any = None) -> None:
    """Commit rows; answer how many a second."""
    store = open_store(uri, create=True)
    store.identity()
    begun = time.perf_counter()
    for number in numbers:
        store.commit_row(row(number))
    if answer is not None:
        answer.put(len(numbers) / (time.perf_counter() - begun))


def merge(uri: str, ended: Event) -> None:
    """Merge parts where there are enough of them."""
    store = open_store(uri)
    while not ended.wait(0.5):
        store.compact(at_least=WORTHWHILE)


def read_on(uri: str, ended: Event, answer: Any) -> None:
    """Read again and again; answer how often, and how many rows were missed or seen twice."""
    store, before, wrong, times = open_store(uri), 0, 0, 0
    while not ended.wait(READ_EVERY_S):
        ids = store.results()["cell_id"].to_pylist()
        wrong += len(ids) - len(set(ids)) + max(0, before - len(ids))
        before, times = len(ids), times + 1
    answer.put((times, wrong))


def rss_bytes() -> int:
    """Return what this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def resume(uri: str, cells: int, answer: Any) -> None:
    """Do what a resumed run and a reader do first; answer seconds and bytes."""
    imported, begun = rss_bytes(), time.perf_counter()
    found = len(open_store(uri).done())
    done_s, begun = time.perf_counter() - begun, time.perf_counter()
    rows = open_store(uri).results().num_rows
    if (found, rows) != (cells, cells):
        raise AssertionError(f"{found} done and {rows} rows of {cells}")
    answer.put((done_s, time.perf_counter() - begun, rss_bytes() - imported))


def measured(uri: str, cells: int, *, single: bool) -> list[str]:
    """Return a line of the table."""
    processes = multiprocessing.get_context("spawn")
    ended, answer = processes.Event(), processes.SimpleQueue()
    write(uri, range(1))  # makes the store
    rates = processes.SimpleQueue()
    writers = [processes.Process(target=write, args=(uri, range(w, cells, WRITERS), rates)) for w in range(WRITERS)]
    beside = [] if single else [
        processes.Process(target=merge, args=(uri, ended)),
        processes.Process(target=read_on, args=(uri, ended, answer)),
    ]  # fmt: skip
    for process in [*writers, *beside]:
        process.start()
    for process in writers:
        process.join()
    rate = sum(rates.get() for _ in writers)
    ended.set()
    for process in beside:
        process.join()
    readings = "" if single else "{}, {} wrong".format(*answer.get())
    reader = processes.Process(target=resume, args=(uri, cells, answer))
    reader.start()
    done_s, results_s, memory = answer.get()
    reader.join()
    parts = len(open_store(uri).blobs.list("results"))
    return [
        f"{cells:,}", f"{parts:,}", f"{rate:.0f}", readings, f"{done_s:.2f}", f"{results_s:.2f}",
        f"{memory / 2**20:.0f} MB, {memory / cells / 1024:.1f} KB a cell",
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[2_000, 10_000, 50_000])
    parser.add_argument("--single", action="store_true", help="merge nothing")
    arguments = parser.parse_args()
    print(f"{machine()}; {WRITERS} writers\n")
    with tempfile.TemporaryDirectory() as folder:
        lines = [measured(f"{folder}/{cells}", cells, single=arguments.single) for cells in arguments.cells]
    print_table(["cells", "parts", "commits/s", "readings beside", "done() s", "results() s", "reader's memory"], lines)


if __name__ == "__main__":
    main()
