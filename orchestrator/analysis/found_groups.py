"""Rows of one run in a table that nobody has pointed out: checkpoints, told by a column of run names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

#: Columns that name runs, in this order.
NAMES: Final = ("run", "run_name", "run_id", "run_group", "experiment", "exp", "trial", "trial_id", "wandb_id", "name")
#: Runs, and rows of a run on average, from which they are rows that hang together.
FEWEST_RUNS: Final = 3
FEWEST_ROWS: Final = 2.0


def found_group(table: pa.Table, mapping: Mapping[str, str]) -> str | None:
    """Return the column of run names, or None: each run of one size, with several rows of growing data.

    Parameters
    ----------
    mapping
        Axis to column, as `map_columns` takes it.
    """
    n, d = mapping.get("n", "n"), mapping.get("d", "d")
    if not {n, d} <= set(table.column_names):
        return None
    taken = set(mapping.values()) | {"n", "d", "e", "loss"}
    by_lower: dict[str, str] = {name.lower(): name for name in table.column_names if name not in taken}
    for lower in NAMES:
        name = by_lower.get(lower)
        if name is not None and _names_runs(table, name, n, d):
            return name
    return None


def _names_runs(table: pa.Table, name: str, n: str, d: str) -> bool:
    sizes: dict[object, set[object]] = {}
    data: dict[object, set[object]] = {}
    for run, size, seen in zip(*(table[column].to_pylist() for column in (name, n, d)), strict=True):
        sizes.setdefault(run, set()).add(size)
        data.setdefault(run, set()).add(seen)
    of_one_size = all(len(found) == 1 for found in sizes.values())
    rows = sum(map(len, data.values())) / max(1, len(data))
    return of_one_size and len(sizes) >= FEWEST_RUNS and rows >= FEWEST_ROWS
