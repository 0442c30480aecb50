"""SQL over a store's rows and fits: DuckDB in memory, read-only and locked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import BadInput
from orchestrator.planning.machine import free_memory_bytes, peak_memory_bytes
from orchestrator.store.curves import COUNTED, paths_of
from orchestrator.store.schema import CURVES_SCHEMA, FITS_SCHEMA, ROW_SCHEMA
from orchestrator.store.store import Store
from orchestrator.store.task_scores import task_scores

#: Statements that only read.
READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
#: No files, no network, no Python variables as tables, no spilling to disk, times in UTC; and none of it to be undone.
LOCK = (
    "SET TimeZone='UTC'",
    "SET temp_directory=''",
    "SET python_enable_replacements=false",
    "SET enable_external_access=false",
    "SET lock_configuration=true",
)
#: Records of an answer at most where no other limit is asked for.
MOST_ROWS: Final = 1_000_000
_TABLES: Final = "results, fits, task_scores and curves"
#: What DuckDB needs in any case.
_LEAST_BYTES: Final = 32 * 1024**2
#: Records that are taken over at a time.
_CHUNK: Final = 5_000


def query(store: Store, sql: str, *, sweep: str | None = None, limit_rows: int | None = None) -> list[dict[str, Any]]:
    """Return the records of one SELECT over the tables ``results``, ``fits``, ``task_scores`` and ``curves``.

    Parameters
    ----------
    store
        The store.
    sql
        One statement in DuckDB's dialect.
    sweep
        Restricts the tables to one sweep; ``None`` means the store's only one.
    limit_rows
        Return only the first so many records; ``None``: all of them, and at most `MOST_ROWS`.

    Returns
    -------
    list
        One dictionary a record, JSON-able: times in ISO 8601, NaN and infinities as ``None``. A column name that
        comes twice gets a number from the second on (``loss``, ``loss_2``).

    Raises
    ------
    BadInput
        If the statement is wrong, does more than read, or reaches for files or the network; or there are several
        sweeps and none is named; or the answer has too many records, or takes more than half of the free memory.
    """
    if limit_rows is not None and limit_rows < 1:
        raise BadInput(f"`limit_rows` must be at least 1, not {limit_rows}")
    memory = free_memory_bytes() // 2
    con = duckdb.connect(":memory:")
    try:
        statement = _single(con, sql)
        name = store.only_sweep(sweep)
        results, fits = store.results(name), store.fits()
        con.register("results", results)
        con.register("task_scores", task_scores(results))
        con.register("fits", fits if name is None else fits.filter(pc.equal(fits["sweep"], name)))
        if "curves" in sql.lower():  # a store may have many times more points than rows
            _add_curves(con, store, results)
        con.execute(f"SET memory_limit='{max(memory, _LEAST_BYTES)}B'")
        for setting in LOCK:
            con.execute(setting)
        return _answer(con, statement, limit_rows, memory)
    except duckdb.Error as failure:
        raise BadInput(f"SQL: {_first_line(failure)}") from failure
    finally:
        con.close()


def _add_curves(con: duckdb.DuckDBPyConnection, store: Store, results: pa.Table) -> None:
    """Make the view ``curves``: the points of each cell's path from initialisation, shared stages included."""
    points = store.curve_points()
    ok = results.filter(pc.equal(results["status"], "ok"))
    cells = dict(zip(ok["cell_id"].to_pylist(), ok["stage_id"].to_pylist(), strict=True))
    con.register("curve_points", points)
    con.register("curve_paths", paths_of(cells, points))
    counted = ", ".join(f"p.{name} + w.before_{name} as {name}" for name in (*COUNTED, "seconds"))
    con.execute(
        f"create view curves as select w.cell_id, p.stage_id, split_part(p.phase, ' ', 1) as phase, {counted}, "
        "p.train_loss, p.val_loss, p.learning_rate, p.gradient_norm "
        "from curve_points p join curve_paths w using (stage_id) "
        "order by w.cell_id, w.place, p.step"
    )


def _answer(
    con: duckdb.DuckDBPyConnection, statement: Any, limit_rows: int | None, memory_bytes: int
) -> list[dict[str, Any]]:
    """Return the records of a statement; in a thread, since DuckDB notices Ctrl-C late or not at all."""

    def fetched() -> list[dict[str, Any]]:
        most, before = limit_rows or MOST_ROWS, peak_memory_bytes()
        cursor = con.execute(statement)
        names = _distinct([column[0] for column in cursor.description or ()])
        records: list[dict[str, Any]] = []
        while len(records) <= most and (rows := cursor.fetchmany(_CHUNK)):
            records += [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
            if peak_memory_bytes() - before > memory_bytes:
                raise BadInput(
                    f"SQL: the answer takes more than half of the free memory ({memory_bytes / 1e6:,.0f} MB) after "
                    f"{len(records):,} rows: select fewer columns, or aggregate"
                )
        if limit_rows is None and len(records) > MOST_ROWS:
            raise BadInput(
                f"SQL: the answer has more than {MOST_ROWS:,} rows: aggregate, or ask for the first of them with "
                "`limit_rows`"
            )
        return records[:most]

    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(fetched)
        try:
            return answer.result()
        except KeyboardInterrupt:
            con.interrupt()
            raise


def _single(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    statements = con.extract_statements(sql)
    if len(statements) != 1:
        raise BadInput(f"SQL: expected one SELECT, got {len(statements)} statements")
    if statements[0].type.name == "MULTI":
        raise BadInput(
            "SQL: PIVOT without its values becomes several statements, of which one writes: name them, as in pivot "
            "results on epochs in (1, 2) using avg(val_loss) group by params_non_embedding"
        )
    if statements[0].type not in READS:
        kind = statements[0].type.name
        raise BadInput(f"SQL: {kind} is refused; the store is read-only, use SELECT over {_TABLES}")
    return statements[0]


def _distinct(names: Sequence[str]) -> list[str]:
    distinct: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in distinct:
            number += 1
            candidate = f"{name}_{number}"
        distinct.append(candidate)
    return distinct


def _first_line(failure: duckdb.Error) -> str:
    line = str(failure).strip().partition("\n")[0]
    if "does not exist" in line and "Table with name" in line:
        return f"{line} The tables are {_TABLES}."
    if "not found in FROM clause" in line:
        columns = {
            "results": ROW_SCHEMA.names,
            "fits": FITS_SCHEMA.names,
            "curves": ["cell_id", *(name for name in CURVES_SCHEMA.names if name != "parent_id")],
        }
        listed = "; of ".join(name + ": " + ", ".join(those) for name, those in columns.items())
        return f"{line} Columns of {listed}."
    return line


def _plain(value: Any) -> Any:
    """Return a JSON-able value."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
