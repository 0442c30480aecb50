"""An answer of SQL is whole, or as many rows as were asked for; it never takes more than half of the free memory."""

from __future__ import annotations

import pytest

from orchestrator.errors import BadInput
from orchestrator.store import query, sql

MANY = "select range as k from range(1000001)"


def test_the_first_rows_come_where_they_are_asked_for(store):
    assert query(store, MANY, limit_rows=3) == [{"k": 0}, {"k": 1}, {"k": 2}]
    assert len(query(store, "select range from range(12345)", limit_rows=20_000)) == 12_345
    with pytest.raises(BadInput, match="`limit_rows` must be at least 1, not 0"):
        query(store, MANY, limit_rows=0)


@pytest.mark.slow
def test_an_answer_of_more_than_a_million_rows_is_refused_and_one_of_a_million_is_whole(store):
    with pytest.raises(BadInput, match="SQL: the answer has more than 1,000,000 rows: aggregate, or ask for the first"):
        query(store, MANY)
    assert len(query(store, MANY.replace("1000001", "1000000"))) == 1_000_000


def test_a_statement_that_needs_more_memory_than_half_of_what_is_free_is_refused(store, monkeypatch):
    monkeypatch.setattr(sql, "free_memory_bytes", lambda: 2 * 64 * 1024**2)
    hungry = "select count(*) from (select range r, hash(range) h from range(30000000) order by h, r)"
    with pytest.raises(BadInput, match="SQL: Out of Memory Error: "):
        query(store, hungry)
    assert query(store, "select sum(range) s from range(1000)") == [{"s": 499500}]


def test_an_answer_that_fills_the_memory_with_records_is_refused(store, monkeypatch):
    taken = iter(range(0, 10**12, 10**7))
    monkeypatch.setattr(sql, "free_memory_bytes", lambda: 2 * 35 * 10**6)
    monkeypatch.setattr(sql, "peak_memory_bytes", lambda: next(taken))
    with pytest.raises(BadInput, match=r"more than half of the free memory \(35 MB\) after 20,000 rows"):
        query(store, MANY)
