"""Scores beside the loss, a line each: what the column ``metrics`` of the rows holds as JSON."""

from __future__ import annotations

import json
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

#: One row a cell, task and metric.
SCHEMA: Final = pa.schema(
    [("cell_id", pa.string()), ("name", pa.string()), ("metric", pa.string()), ("value", pa.float64())]
)


def task_scores(results: pa.Table) -> pa.Table:
    """Return the scores of some rows: cell, name of the task, name of the metric, value.

    A metric of the data that a cell was scored on has the name of these; one of ``evaluate:`` is written
    ``TASK.METRIC``.
    """
    found = []
    scored = results.filter(pc.is_valid(results["metrics"]))
    columns = (scored[name].to_pylist() for name in ("cell_id", "task", "metrics"))
    for cell_id, data, text in zip(*columns, strict=True):
        for key, value in json.loads(text).items():
            name, _, metric = key.rpartition(".")
            found.append({"cell_id": cell_id, "name": name or data, "metric": metric, "value": value})
    return pa.Table.from_pylist(found, SCHEMA)
