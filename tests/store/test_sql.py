"""Queries read, and do nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.errors import BadInput
from orchestrator.store import open_store, query
from orchestrator.store.schema import FITS_SCHEMA


@pytest.fixture(scope="module")
def template(tmp_path_factory, row):
    """A store of three rows, one of them failed, and two fits of different sweeps."""
    store = open_store(str(tmp_path_factory.mktemp("store") / "template"), create=True)
    store.commit_row(row(0, epochs=1))
    store.commit_row(row(1, epochs=1, val_loss=float("nan")))
    store.commit_row(row(2, status="failed"))
    for name in ("a", "b"):
        at = row(0)["started_at"]
        fit = {"sweep": name, "law": "product", "parameter": "alpha", "value": 0.3, "fitted_at": at}
        store.commit_fits(pa.Table.from_pylist([fit], schema=FITS_SCHEMA))
    return store


@pytest.fixture
def filled(template, tmp_path):
    """A copy of it."""
    shutil.copytree(template.uri, tmp_path / "store")
    return open_store(str(tmp_path / "store"))


def test_select_and_group_by(filled):
    assert query(filled, "select params_non_embedding n from results order by n desc limit 2") == [
        {"n": 3000},
        {"n": 2000},
    ]
    counted = query(filled, "select status, count(*) as n from results group by status order by status")
    assert counted == [{"status": "failed", "n": 1}, {"status": "ok", "n": 2}]
    assert query(filled, "select sweep from fits order by sweep") == [{"sweep": "a"}, {"sweep": "b"}]


def test_every_value_is_json(filled):
    sql = """select *, 1.5::decimal(9, 2) as price, 2::hugeint << 70 as big, {'k': [1, 'inf'::double]} as nested,
        map {1: 'x'} as pairs, 'ab'::blob as raw, interval 1 day as span, date '2026-01-02' as day from results
        order by cell_id"""
    records = query(filled, sql)
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    assert records[0]["started_at"] == "2026-01-02T03:04:05+00:00"
    assert records[0]["price"] == 1.5
    assert records[0]["nested"] == {"k": [1.0, None]}
    assert records[1]["val_loss"] is None


def test_a_name_that_comes_twice_keeps_both_values(filled):
    assert query(filled, "select 1 as a, 2 as a, 3 as a_2") == [{"a": 1, "a_2": 2, "a_2_2": 3}]


@pytest.mark.parametrize("sql", ["describe results", "show tables", "explain select 1", "with x as (select 1) from x"])
def test_other_ways_of_reading_are_allowed(filled, sql):
    assert query(filled, sql)


FORBIDDEN = [
    "copy results to '{0}/out.csv'",
    "export database '{0}/out'",
    "attach '{0}/other.db'",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "set enable_external_access=true",
    "reset lock_configuration",
    "create table t as select 1",
    "create macro m() as 1",
    "insert into results select * from results",
    "update results set seed = 1",
    "delete from results",
    "drop view results",
    "explain delete from results",
    "call pragma_version()",
    "select * from read_csv('{0}/secret.csv')",
    "select * from read_text('{0}/secret.csv')",
    "select * from '{0}/secret.csv'",
    "select * from '{0}/secret.parquet'",
    "select * from parquet_scan('{0}/secret.parquet')",
    "select * from sniff_csv('{0}/secret.csv')",
    "select * from glob('{0}/*')",
    "select getenv('HOME')",
    "select * from 'https://example.org/x.csv'",
    "select * from store",
    "select * from ROW_SCHEMA",
    "select 1; select 2",
    "select 1; drop view results",
    "",
    "selec 1",
    "select * from results where seed = ?",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_whatever_does_more_than_read_is_refused_in_one_line(filled, tmp_path, sql):
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "secret.parquet")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match=r"^SQL: ") as refusal:
        query(filled, sql.format(tmp_path))
    assert "\n" not in str(refusal.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_python_variables_are_no_tables(filled):
    in_scope = pa.table({"a": [1]})
    with pytest.raises(BadInput, match="in_scope does not exist! The tables are results, fits, task_scores and curves"):
        query(filled, "select * from in_scope")
    assert in_scope.num_rows == 1


def test_a_wrong_column_or_table_gets_the_right_ones(filled):
    with pytest.raises(
        BadInput, match=r'"valloss" not found.*Columns of results: cell_id, .*val_loss.*; of fits: sweep'
    ):
        query(filled, "select valloss from results")
    with pytest.raises(BadInput, match=r"The tables are results, fits, task_scores and curves\."):
        query(filled, "select * from rows")


def test_a_sweep_restricts_both_tables(filled, row):
    filled.save_sweep("a", {"cells": [row(0)["cell_id"], row(9)["cell_id"]]})
    for name in (None, "a"):
        assert query(filled, "select val_loss from results", sweep=name) == [{"val_loss": 1.0}]
        assert query(filled, "select sweep from fits", sweep=name) == [{"sweep": "a"}]
    filled.save_sweep("b", {"cells": []})
    with pytest.raises(BadInput, match="`sweep`: a, b"):
        query(filled, "select 1")
    assert query(filled, "select count(*) as n from results", sweep="b") == [{"n": 0}]


def test_an_empty_store_answers(store):
    assert query(store, "select * from results") == []
    assert query(store, "select count(*) as n from fits") == [{"n": 0}]


def test_nothing_is_spilled_beside_the_caller(filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(Path.cwd().iterdir())
    assert query(filled, "select count(*) as n from (select distinct range from range(100000))") == [{"n": 100000}]
    assert set(Path.cwd().iterdir()) == before


def test_ctrl_c_ends_a_query_that_takes_too_long(template):
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            query(template, "select count(*) from range(1000000000000)")
    finally:
        timer.cancel()
