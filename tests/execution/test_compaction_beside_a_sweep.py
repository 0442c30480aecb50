"""Parts are merged while a sweep goes on, and nobody who reads meanwhile sees a row twice or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from orchestrator.store import open_store
from tests.conftest import SIMULATED
from tests.execution.local import LocalRun, new_store, rows


def _read_on(uri, ended):
    """Read a store until a sweep has ended; return the number of rows of each reading, and what was wrong with any."""
    reader, counts, wrong = open_store(uri), [0], []
    while True:
        last = ended()
        ids = reader.results()["cell_id"].to_pylist()
        done = reader.done()
        if len(set(ids)) != len(ids) or len(ids) < counts[-1] or len(done) < len(ids):
            wrong.append((counts[-1], len(ids), len(done)))
        counts.append(len(ids))
        if last:
            return counts, wrong, reader.damaged


def test_a_sweep_leaves_its_rows_in_merged_parts_and_readers_miss_none(tmp_path):
    plain = new_store(tmp_path / "plain")
    LocalRun(SIMULATED, plain).run()
    store = new_store(tmp_path / "merged")
    run = LocalRun(SIMULATED, store, gangs=2)
    run.driver.compact_every = 5
    with ThreadPoolExecutor(1) as thread:
        ended = []
        reading = thread.submit(_read_on, store.uri, lambda: bool(ended))
        run.run()
        ended.append(True)
        counts, wrong, damaged = reading.result()
    assert wrong == []
    assert damaged == []
    assert counts[-1] == 27
    assert rows(open_store(store.uri)) == rows(plain)
    names = store.blobs.list("results")
    assert sum("compacted-" in name for name in names) >= 4
    assert sum("compacted-" not in name for name in names) < 10
    assert not any("compacted-" in name for name in plain.blobs.list("results"))
