"""SQL over a store's rows and fits: DuckDB in memory, read-only and locked."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb

from orchestrator.errors import BadInput
from orchestrator.store.schema import FITS_SCHEMA, ROW_SCHEMA
from orchestrator.store.store import Store

#: Statements that only read.
READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def query(store: Store, sql: str, *, sweep: str | None = None) -> list[dict[str, Any]]:
    """Return the records of one SELECT over the tables ``results`` and ``fits``.

    Parameters
    ----------
    sweep
        Restricts both tables to one sweep.

    Raises
    ------
    BadInput
        If the statement is wrong, does more than read, or reaches for files or the network.
    """
    con = duckdb.connect(":memory:")
    try:
        statement = _single(con, sql)
        results = store.results(store.only_sweep(sweep) if sweep else None)
        fits = store.fits()
        if sweep:
            fits = fits.filter([name == sweep for name in fits["sweep"].to_pylist()])
        con.register("results", results)
        con.register("fits", fits)
        con.execute("SET enable_external_access=false; SET lock_configuration=true")
        cursor = con.execute(statement)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]
    except duckdb.Error as failure:
        raise BadInput(f"SQL: {_first_line(failure)}") from failure
    finally:
        con.close()


def _single(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        raise BadInput(f"SQL: expected one SELECT, got {len(statements)} statements")
    if statements[0].type not in READS:
        kind = statements[0].type.name
        raise BadInput(f"SQL: {kind} is refused; the store is read-only, use SELECT over the tables results and fits")
    return statements[0]


def _first_line(failure: duckdb.Error) -> str:
    text = str(failure).strip()
    line = text.splitlines()[0]
    if "does not exist" in line and "Table" in line:
        return f"{line} The tables are results and fits."
    if "not found in FROM clause" in line:
        return f"{line} Columns of results: {', '.join(ROW_SCHEMA.names)}; of fits: {', '.join(FITS_SCHEMA.names)}."
    return line


def _plain(value: Any) -> Any:
    """Return a JSON-able value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
