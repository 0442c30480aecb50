"""A cell has one row that readers see (I2)."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from orchestrator.store.object_blobs import ObjectBlobs
from orchestrator.store.schema import ROW_SCHEMA
from orchestrator.store.store import Store, open_store


def test_a_committed_row_comes_back_as_it_was(store, row):
    written = row(1, val_loss=0.1, flops=1e22, worker="w", epochs=3, simulated=True)
    assert store.commit_row(written) is True
    table = store.results()
    assert table.schema.equals(ROW_SCHEMA, check_metadata=True)
    assert table.to_pylist() == [{**dict.fromkeys(ROW_SCHEMA.names), **written}]


def test_the_first_row_of_a_cell_stays(store, row):
    assert store.commit_row(row(1, val_loss=1.0)) is True
    assert store.commit_row(row(1, val_loss=2.0)) is False
    assert store.results()["val_loss"].to_pylist() == [1.0]


def test_an_empty_store_has_an_empty_table(store):
    assert store.results().num_rows == 0
    assert store.results().schema.equals(ROW_SCHEMA)
    assert store.done() == {}


@pytest.mark.parametrize("order", [("ok", "failed"), ("failed", "ok")])
def test_an_ok_row_hides_a_failure(store, row, order):
    for status in order:
        store.commit_row(row(1, status=status))
    assert store.results()["status"].to_pylist() == ["ok"]
    assert store.done() == {row(1)["cell_id"]: "ok"}


def test_forgotten_failures_count_as_missing_and_rows_stay(store, row):
    for number, status in enumerate(["failed", "ok", "failed"]):
        store.commit_row(row(number, status=status))
    store.forget_failures([row(0)["cell_id"], row(1)["cell_id"], row(9)["cell_id"]])
    assert store.done() == {row(1)["cell_id"]: "ok", row(2)["cell_id"]: "failed"}


def test_what_is_counted_as_done_was_opened_once(store, row, monkeypatch):
    for number, status in enumerate(["ok", "failed", "ok", "failed"]):
        store.commit_row(row(number, status=status))
    store.blobs.replace(f"results/{2:064x}.parquet", b"\0" * 3000)
    store.blobs.replace(f"results/{3:064x}.failed.parquet", b"")
    store.blobs.replace("results/notes.txt", b"no part")
    assert store.done() == {f"{0:064x}": "ok", f"{1:064x}": "failed"}
    assert store.damaged == [f"results/{2:064x}.parquet", f"results/{3:064x}.failed.parquet"]
    store.commit_row(row(4))
    opened, read = [], store.blobs.get
    monkeypatch.setattr(store.blobs, "get", lambda key: opened.append(key) or read(key))
    assert store.done() == {f"{0:064x}": "ok", f"{1:064x}": "failed", f"{4:064x}": "ok"}
    assert opened == [f"results/{4:064x}.parquet"]


def test_a_failure_that_was_forgotten_and_committed_anew_is_opened_again(store, row):
    store.commit_row(row(1, status="failed"))
    assert store.done() == {f"{1:064x}": "failed"}
    store.forget_failures([f"{1:064x}"])
    store.blobs.put_new(f"results/{1:064x}.failed.parquet", b"damaged")
    assert store.done() == {}


@pytest.mark.parametrize("text", ["zwölf Übel", "lone \ud800 surrogate", "\0 and \x1b[31m", "scalaw.seal\x18\x40"])
def test_an_error_of_any_text_is_committed_and_read(store, row, text):
    assert store.commit_row(row(1, status="failed", error=text)) is True
    assert store.results()["error"].to_pylist() == [text.replace("\ud800", "?")]


def test_values_come_back_from_a_seal_as_from_parquet(store, row):
    written = row(1, val_loss=float("nan"), test_loss=float("-inf"), train_loss=1e-320, flops=1e308, seed=-(2**63),
                  steps=2**63 - 1, accuracy=0.1 + 0.2, simulated=False, task="")  # fmt: skip
    store.commit_row(written)
    by_seal = store.results()
    by_parquet = pq.read_table(pa.BufferReader(store.blobs.get(f"results/{1:064x}.parquet")))
    assert by_seal.schema.equals(ROW_SCHEMA, check_metadata=True)
    for name in by_parquet.column_names:
        assert repr(by_seal[name].to_pylist()) == repr(by_parquet[name].to_pylist())
    assert set(ROW_SCHEMA.names) - set(by_parquet.column_names) == {
        name for name in ROW_SCHEMA.names if by_seal[name].null_count
    }


def test_rows_are_sorted_by_cell_and_restricted_to_a_sweep(store, row):
    for number in (3, 1, 2):
        store.commit_row(row(number))
    store.save_sweep("a", {"cells": [row(3)["cell_id"], row(1)["cell_id"], row(7)["cell_id"]]})
    assert store.results()["val_loss"].to_pylist() == [2.0, 3.0, 4.0]
    assert store.results("a")["val_loss"].to_pylist() == [2.0, 4.0]


def test_a_cell_id_that_leaves_the_folder_is_a_bug(store, row):
    for cell_id in ("../../x", "compacted-0", ""):
        with pytest.raises(ValueError, match="not a cell id"):
            store.commit_row({**row(1), "cell_id": cell_id})
    with pytest.raises(ValueError, match="ok or failed"):
        store.commit_row(row(1, status="fine"))


@pytest.mark.slow
def test_rows_in_a_bucket_are_committed_once_compacted_and_read(s3_uri, row):
    first, second = (open_store(s3_uri, create=True) for _ in range(2))
    assert [first.commit_row(row(k)) for k in range(4)] == [True] * 4
    assert [second.commit_row(row(k, val_loss=9.0)) for k in range(4)] == [False] * 4
    before = second.results()
    assert first.compact() == 4
    assert second.results().equals(before)
    assert open_store(s3_uri).done() == {row(k)["cell_id"]: "ok" for k in range(4)}


COMMIT = st.tuples(st.sampled_from(["ok", "failed"]), st.integers(0, 2), st.integers(0, 3))
OTHER = st.tuples(st.sampled_from(["forget", "compact", "read"]), st.integers(0, 2), st.integers(0, 3))


@settings(max_examples=25, deadline=None)
@given(actions=st.lists(COMMIT | OTHER, max_size=10))
def test_whatever_several_writers_do_each_cell_has_the_first_row_of_its_best_status(actions):
    bucket = MemoryStore()
    stores = [Store(ObjectBlobs(bucket, "memory")) for _ in range(3)]
    ok: dict[str, float] = {}
    failed: dict[str, float] = {}
    for time, (action, writer, number) in enumerate(actions):
        store, cell = stores[writer], f"{number:064x}"
        if action in ("ok", "failed"):
            store.commit_row({"cell_id": cell, "status": action, "wall_s": float(time)})
            (ok if action == "ok" else failed).setdefault(cell, float(time))
        elif action == "forget":
            store.forget_failures([cell])
            failed.pop(cell, None)
        elif action == "compact":
            store.compact()
        else:
            store.results()
    expected = {cell: (time, "failed") for cell, time in failed.items()} | {c: (t, "ok") for c, t in ok.items()}
    for store in stores:
        rows = store.results().to_pylist()
        assert [row["cell_id"] for row in rows] == sorted(expected)
        assert {row["cell_id"]: (row["wall_s"], row["status"]) for row in rows} == expected
        assert store.done() == {cell: status for cell, (_, status) in expected.items()}


def test_other_tools_read_the_parts_as_parquet(store, row):
    for number in range(4):
        store.commit_row(row(number, accuracy=0.5 if number else None))
    store.compact()
    for number in range(4, 7):
        store.commit_row(row(number, epochs=number))
    parts = f"read_parquet('{store.uri}/results/*.parquet', union_by_name = true)"
    answer = duckdb.sql(f"select count(*), sum(val_loss), sum(accuracy), sum(epochs) from {parts}").fetchall()
    assert answer == [(7, sum(range(1, 8)), 1.5, 15)]
