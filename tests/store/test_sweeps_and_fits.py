"""Sweeps, heartbeats and fits beside the rows."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from orchestrator.errors import BadInput
from orchestrator.store.schema import FITS_SCHEMA


@pytest.fixture
def fit(row):
    """Make a fit of two parameters."""

    def make(hours: int, alpha: float = 0.3, sweep: str = "a") -> pa.Table:
        at = row(0)["started_at"] + timedelta(hours=hours)
        common = {"sweep": sweep, "task": "text", "law": "product", "n_rows": 9, "best": True, "fitted_at": at}
        figures = [("alpha", alpha, 0.2, 0.4), ("C", 2.0, None, None)]
        return pa.Table.from_pylist(
            [{**common, "parameter": p, "value": v, "lo": lo, "hi": hi} for p, v, lo, hi in figures],
            schema=FITS_SCHEMA,
        )

    return make


def test_fits_come_back_oldest_first(store, fit):
    for hours in (2, 0, 1):
        store.commit_fits(fit(hours))
    expected = pa.concat_tables([fit(0), fit(1), fit(2)])
    assert store.fits().equals(expected)
    assert store.fits().schema.equals(FITS_SCHEMA, check_metadata=True)


def test_the_same_fit_is_there_once_and_no_rows_are_no_fit(store, fit):
    store.commit_fits(fit(0))
    store.commit_fits(fit(0))
    store.commit_fits(FITS_SCHEMA.empty_table())
    assert store.fits().equals(fit(0))


def test_a_store_without_fits_has_an_empty_table(store):
    assert store.fits().num_rows == 0


def test_the_only_sweep_is_meant_unless_one_is_named(store):
    assert store.only_sweep(None) is None
    store.save_sweep("a", {"cells": []})
    assert store.only_sweep(None) == "a"
    store.save_sweep("b", {"cells": []})
    assert store.only_sweep("b") == "b"
    with pytest.raises(BadInput, match="several sweeps; name one as `sweep`: a, b"):
        store.only_sweep(None)
    with pytest.raises(BadInput, match="no sweep 'c'; it has a, b"):
        store.only_sweep("c")
    with pytest.raises(BadInput, match="can't name a sweep"):
        store.only_sweep("../a")


def test_other_files_among_the_sweeps_are_passed_over(store):
    store.save_sweep("a", {"cells": []})
    for key in ("sweeps/notes.txt", "sweeps/old/b.json", "sweeps/old/0.json", "sweeps/a/1/2.json"):
        store.blobs.replace(key, b"x")
    assert list(store.sweeps()) == ["a"]
    assert store.only_sweep(None) == "a"


def test_the_last_heartbeat_counts(store):
    assert store.heartbeat("a") is None
    store.save_heartbeat("a", {"done": 1})
    store.save_heartbeat("a", {"done": 2})
    assert store.heartbeat("a") == {"done": 2}
    assert store.heartbeat("b") is None


def test_a_probe_leaves_nothing(store):
    store.probe()
    assert store.blobs.list("logs") == []
