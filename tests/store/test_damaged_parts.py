"""A damaged part is named and set aside, and never breaks a query (I5)."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.errors import BadInput
from orchestrator.store import open_store, query
from orchestrator.store.part import SEALED_SINCE, encode_part, encode_row
from orchestrator.store.schema import ROW_SCHEMA, SCHEMA_VERSION, VERSION_KEY, row_table, row_values


def _foreign(row):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    return sink.getvalue().to_pybytes()


def _with_version(table: pa.Table, version: int) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({VERSION_KEY: str(version).encode()}), sink)
    return sink.getvalue().to_pybytes()


DAMAGE = {
    "empty": lambda row: b"",
    "truncated": lambda row: encode_part(row_table(row(2)))[:-100],
    "beheaded": lambda row: encode_part(row_table(row(2)))[100:],
    "random bytes": lambda row: random.Random(0).randbytes(5000),
    "random bytes between the magic numbers": lambda row: b"PAR1" + random.Random(0).randbytes(5000) + b"PAR1",
    "written by another program": _foreign,
    "no rows": lambda row: encode_part(ROW_SCHEMA.empty_table()),
    "another schema": lambda row: _with_version(pa.table({"cell_id": [row(2)["cell_id"]], "loss": [1.0]}), 1),
    "another type": lambda row: _with_version(
        row_table(row(2)).set_column(22, "val_loss", pa.array(["low"], pa.string())), 1
    ),
    "another cell's row": lambda row: encode_part(row_table(row(3))),
    "a failure under the name of a row": lambda row: encode_part(row_table(row(2, status="failed"))),
    "two rows": lambda row: encode_part(pa.concat_tables([row_table(row(2))] * 2)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_part_is_named_and_set_aside_and_the_query_goes_on(store, row, caplog, damage):
    store.commit_row(row(1))
    key = f"results/{2:064x}.parquet"
    store.blobs.put_new(key, damage(row))
    assert query(store, "select val_loss from results") == [{"val_loss": 2.0}]
    assert store.damaged == [key]
    assert key in caplog.text
    (aside,) = store.blobs.list("damaged")
    assert store.blobs.get(aside) == damage(row)
    assert store.done() == {row(1)["cell_id"]: "ok"}
    assert store.commit_row(row(2)) is True
    assert store.results().num_rows == 2


def test_under_a_damaged_row_the_failure_shows(store, row):
    store.commit_row(row(1, status="failed"))
    store.blobs.put_new(f"results/{1:064x}.parquet", b"damaged")
    assert store.results()["status"].to_pylist() == ["failed"]


def test_a_damaged_compacted_part_makes_its_cells_missing(store, row):
    for number in range(3):
        store.commit_row(row(number))
    store.compact()
    (key,) = store.blobs.list("results")
    store.blobs.replace(key, store.blobs.get(key)[:-200])
    reader = open_store(store.uri)
    assert reader.done() == {}
    assert reader.damaged == [key]


def test_a_damaged_fit_is_set_aside(store):
    store.blobs.put_new("fits/a.parquet", b"damaged")
    assert store.fits().num_rows == 0
    assert store.damaged == ["fits/a.parquet"]


def test_where_nothing_can_be_moved_the_query_goes_on(store, row):
    store.commit_row(row(1))
    store.blobs.put_new(f"results/{2:064x}.parquet", b"damaged")
    (store.blobs.root / "damaged").write_text("a file where the folder should be")
    assert store.results().num_rows == 1
    assert store.results().num_rows == 1
    assert store.damaged == [f"results/{2:064x}.parquet"]


def _unsealed(table: pa.Table, version: int) -> bytes:
    """Return a part as a scalaw before seals wrote it."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, write_page_checksum=True, store_schema=False) as writer:
        writer.add_key_value_metadata({VERSION_KEY.decode(): str(version)})
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_a_part_of_an_older_version_is_read_without_a_seal_and_a_new_one_is_not(store, row):
    store.identity()
    for number, version in ((1, SEALED_SINCE - 1), (2, SEALED_SINCE)):
        store.blobs.put_new(f"results/{number:064x}.parquet", _unsealed(row_table(row(number)), version))
    assert store.results()["val_loss"].to_pylist() == [2.0]
    assert store.damaged == [f"results/{2:064x}.parquet"]


def test_a_row_of_the_version_before_curves_is_read_and_has_no_stage(store, row, monkeypatch):
    store.identity()
    with monkeypatch.context() as older:
        older.setattr("orchestrator.store.part.SCHEMA_VERSION", 5)
        for number, written in ((1, {}), (2, {"status": "failed", "val_loss": None})):
            data = encode_row(row_values(row(number, **written)))
            key = f"results/{number:064x}{'.failed' if written else ''}.parquet"
            store.blobs.put_new(key, data)
    assert b'"schema": 5' in store.blobs.get(f"results/{1:064x}.parquet")
    store.commit_row(row(3, stage_id="f" * 64))
    found = query(store, "select val_loss, status, stage_id from results order by cell_id")
    assert [(each["status"], each["stage_id"]) for each in found] == [("ok", None), ("failed", None), ("ok", "f" * 64)]
    assert query(store, "select * from curves") == []
    assert store.damaged == []
    store.compact()
    assert query(store, "select val_loss, status, stage_id from results order by cell_id") == found


def test_a_part_of_a_newer_scalaw_is_bad_input_and_nothing_is_written(store, row):
    newer = row_table(row(1)).append_column("aroma", pa.array([1.0]))
    store.identity()
    store.blobs.put_new(f"results/{1:064x}.parquet", _with_version(newer, SCHEMA_VERSION + 1))
    before = {key: store.blobs.get(key) for key in store.blobs.list("results")}
    with pytest.raises(
        BadInput, match=rf"newer scalaw \(schema {SCHEMA_VERSION + 1}, this one reads up to {SCHEMA_VERSION}\): upgrade"
    ) as refusal:
        open_store(store.uri, create=True)
    assert refusal.value.exit_code == 2
    with pytest.raises(BadInput, match="newer scalaw"):
        store.results()
    assert store.blobs.children() == {"results", "store.json"}
    assert {key: store.blobs.get(key) for key in store.blobs.list("results")} == before


def test_columns_that_an_older_part_lacks_are_null(store, row):
    older = row_table(row(1, accuracy=0.5, threads=2)).drop_columns(["accuracy", "threads"])
    store.blobs.put_new(f"results/{1:064x}.parquet", encode_part(older))
    (read,) = store.results().to_pylist()
    assert read["val_loss"] == 2.0
    assert read["accuracy"] is None
    assert read["threads"] is None


def test_equal_rows_are_equal_bytes_by_either_way(row):
    naive, elsewhere = datetime(2026, 1, 2, 3, 4, 5, 678901), datetime(1969, 1, 2, tzinfo=timezone(timedelta(hours=5)))
    times = {"started_at": naive, "finished_at": elsewhere}
    full = row(1, steps=3.0, flops=10**25, simulated=False, val_loss=float("nan"), warnings="Übel", **times)
    assert encode_part(row_table(full)) == encode_row(row_values(full))
    assert encode_row(row_values(full)) == encode_row(row_values(dict(reversed(full.items()))))
