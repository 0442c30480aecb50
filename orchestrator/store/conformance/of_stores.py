"""What a store promises on top of blobs: rows once, readers undisturbed, one driver, versions, checkpoints."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.errors import BadInput, StoreReplaced
from orchestrator.store.blobs import Blobs
from orchestrator.store.checkpoints import Progress
from orchestrator.store.heartbeat import STALE_S, take_lease
from orchestrator.store.store import Store

Open = Callable[[], Blobs]
_STAGE = "5a" * 32


def _row(number: int, loss: float, status: str = "ok") -> dict[str, Any]:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    error = "Traceback" if status == "failed" else None
    row = {"cell_id": f"{number:064x}", "task": "text", "seed": number, "val_loss": loss, "error": error}
    return {**row, "status": status, "started_at": at, "finished_at": at}


def _commits_once(open_: Open) -> Iterator[str]:
    stores = [Store(open_()) for _ in range(3)]
    with ThreadPoolExecutor(6) as threads:
        commits = [threads.submit(s.commit_row, _row(n, float(k))) for n in range(8) for k, s in enumerate(stores)]
    won = sum(commit.result() for commit in commits)
    first, second = (Store(open_()).results() for _ in range(2))
    if won > 8 or first.num_rows != 8:
        yield f"of 8 cells by 3 writers {won} commits say that they wrote, and {first.num_rows} rows are read"
    if not first.equals(second):
        yield "two readers see different rows"
    stores[0].commit_row(_row(3, 99.0, "failed"))
    if set(Store(open_()).done().values()) != {"ok"} or Store(open_()).results().num_rows != 8:
        yield "a failure shows beside the row of its cell"


def _reads_while_it_compacts(open_: Open) -> Iterator[str]:
    writer, told = Store(open_()), []
    for number in range(30):
        writer.commit_row(_row(number, float(number)))
        told.append(number)

    def commit() -> None:
        for number in range(30, 60):
            writer.commit_row(_row(number, float(number)))
            told.append(number)

    def compact() -> None:
        for _ in range(4):
            Store(open_()).compact()

    reader = Store(open_())
    with ThreadPoolExecutor(3) as threads:
        work = [threads.submit(commit), threads.submit(compact), threads.submit(compact)]
        while not all(each.done() for each in work):
            before = len(told)
            losses = reader.results()["val_loss"].to_pylist()
            if losses != [float(number) for number in range(len(losses))] or len(losses) < before:
                yield f"of {before} rows that were committed before, a reader sees {len(losses)}: {losses}"
        for each in work:
            each.result()
    writer.compact()
    end = Store(open_())
    if end.results().num_rows != 60 or len(end.done()) != 60 or end.damaged:
        yield f"of 60 rows {end.results().num_rows} are left, and {end.damaged} are called damaged"


def _sets_damage_aside(open_: Open) -> Iterator[str]:
    store = Store(open_())
    for number in range(3):
        store.commit_row(_row(number, float(number)))
    key = f"results/{1:064x}.parquet"
    data = bytearray(store.blobs.get(key))
    data[len(data) // 3] ^= 1
    store.blobs.replace(key, bytes(data))
    reader = Store(open_())
    if reader.results()["val_loss"].to_pylist() != [0.0, 2.0] or reader.damaged != [key]:
        yield f"beside a damaged part {reader.results().num_rows} rows are read, and named is {reader.damaged}"
    if store.blobs.exists(key) or len(store.blobs.list("damaged")) != 1:
        yield "it was not moved out of the way"
    store.commit_row(_row(1, 1.0))
    if Store(open_()).results().num_rows != 3:
        yield "its cell can't be measured anew"


def _keeps_the_furthest_checkpoint(open_: Open) -> Iterator[str]:
    def save(handle: Store, steps: range) -> None:
        for step in steps:
            handle.checkpoints.save(_STAGE, Progress.BEGUN, step, b"%d" % step * 50_000)

    with ThreadPoolExecutor(2) as threads:
        for saving in [threads.submit(save, Store(open_()), range(first, 24, 2)) for first in (1, 2)]:
            saving.result()
    found = Store(open_()).checkpoints.load(_STAGE)
    if found != (Progress.BEGUN, b"23" * 50_000):
        yield f"after step 23 {'nothing' if found is None else found[1][:2].decode()} is loaded"
    store = Store(open_())
    store.checkpoints.save(_STAGE, Progress.DONE, 23, b"end")
    if store.checkpoints.load(_STAGE) != (Progress.DONE, b"end"):
        yield "what is done does not count before what is begun"
    store.checkpoints.drop(_STAGE)
    if Store(open_()).checkpoints.kept():
        yield "what was dropped stays"


def _has_one_driver(open_: Open) -> Iterator[str]:
    come = threading.Barrier(4)

    def lead() -> bool:
        store = Store(open_())
        come.wait()
        try:
            take_lease(store, "a").beat({"done": 0})
        except (BadInput, StoreReplaced):
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        led = [answer.result() for answer in [threads.submit(lead) for _ in range(4)]]
    if sum(led) != 1:
        yield f"of 4 drivers that came at once {sum(led)} lead"


def _needs_no_clock(open_: Open) -> Iterator[str]:
    for number, hours in enumerate((-1, 1)):
        yield from _by_ones_own_clock(open_, f"clock-{number}", hours)


def _by_ones_own_clock(open_: Open, sweep: str, hours: int) -> Iterator[str]:
    """Try to take over from a driver whose clock is off, while it beats and once it no longer does."""
    store, passed_s = Store(open_()), 0.0
    at = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    about: dict[str, Any] = {"host": "elsewhere", "pid": 1, "updated_at": at, "lease": 1}
    store.blobs.replace(f"logs/{sweep}.lease-000001", json.dumps(about).encode())
    store.save_heartbeat(sweep, {**about, "beats": 1})

    def sleep(seconds: float) -> None:
        nonlocal passed_s
        passed_s += seconds

    def beaten(seconds: float) -> None:
        sleep(seconds)
        if passed_s > STALE_S - 5:
            Store(open_()).save_heartbeat(sweep, {**about, "beats": 2})

    if _leads(store, sweep, beaten, lambda: passed_s):
        yield f"a driver whose clock is {hours} h off, and that beats, is taken over"
    passed_s = 0.0
    if not _leads(store, sweep, sleep, lambda: passed_s):
        yield f"a driver whose clock is {hours} h off, and that beats no more, is not taken over"
    if passed_s < STALE_S:
        yield f"a driver whose clock is {hours} h off is taken over after {passed_s:g} s"


def _leads(store: Store, sweep: str, sleep: Callable[[float], None], now_s: Callable[[], float]) -> bool:
    try:
        take_lease(store, sweep, sleep=sleep, now_s=now_s)
    except BadInput:
        return False
    return True


def _keeps_every_version(open_: Open) -> Iterator[str]:
    def save(number: int) -> None:
        Store(open_()).save_sweep("a", {"cells": [f"{number:064x}"]})

    with ThreadPoolExecutor(4) as threads:
        for saving in [threads.submit(save, number) for number in range(4)]:
            saving.result()
    versions = Store(open_()).sweeps(every_version=True)
    cells = sorted(cell for document in versions.values() for cell in document["cells"])
    if sorted(versions) != [f"a@{k}" for k in range(1, 5)] or cells != [f"{number:064x}" for number in range(4)]:
        yield f"4 versions recorded at once are {versions}"
    newest = Store(open_()).sweep("a")
    Store(open_()).save_sweep("a", newest)
    if Store(open_()).version("a") != 4:
        yield "the same sweep makes another version"


def _has_one_name(open_: Open) -> Iterator[str]:
    with ThreadPoolExecutor(4) as threads:
        names = {name.result() for name in [threads.submit(Store(open_()).identity) for _ in range(4)]}
    if names != {Store(open_()).identity()}:
        yield f"processes that came at once know it by {len(names)} names"


#: By name, what is tried on an empty root; each opens as many handles on it as it needs.
STORE_PROMISES: dict[str, Callable[[Open], Iterator[str]]] = {
    "each cell has one row": _commits_once,
    "no reader misses or doubles a row while parts are compacted": _reads_while_it_compacts,
    "a damaged part is named and set aside": _sets_damage_aside,
    "the furthest checkpoint counts": _keeps_the_furthest_checkpoint,
    "a sweep has one driver": _has_one_driver,
    "clocks that are an hour off do no harm": _needs_no_clock,
    "every version of a sweep is kept": _keeps_every_version,
    "a store has one name": _has_one_name,
}
