"""Scores beside the loss, a line each: what the column ``scores`` of the rows holds as JSON."""

from __future__ import annotations

import json
from typing import Final

import pyarrow as pa

#: One row a cell, task and metric.
SCHEMA: Final = pa.schema(
    [("cell_id", pa.string()), ("name", pa.string()), ("metric", pa.string()), ("value", pa.float64())]
)


def task_scores(results: pa.Table) -> pa.Table:
    """Return the scores of some rows: cell, name of the task (or the data), name of the metric, value."""
    found = []
    for cell_id, text in zip(results["cell_id"].to_pylist(), results["scores"].to_pylist(), strict=True):
        for name, metrics in json.loads(text or "{}").items():
            found += [
                {"cell_id": cell_id, "name": name, "metric": metric, "value": value}
                for metric, value in metrics.items()
            ]
    return pa.Table.from_pylist(found, SCHEMA)
