"""A program's answer → the columns of the row that it gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from orchestrator.planning.tasks import Task
from orchestrator.programs.exchange import BadAnswer, finite
from orchestrator.programs.program import Program
from workers.programs.failures import ProgramDiverged
from workers.programs.state import ProgramState

#: Columns that are the program's to fill; other numbers go to ``metrics``.
COLUMNS: Final = ("train_loss", "val_loss", "test_loss", "bits_per_byte", "accuracy", "model_bytes")
#: What an answer says beside them.
_ABOUT: Final = ("protocol", "id", "step", "params_total")
MOST_METRICS: Final = 100


def measured(program: Program, state: ProgramState, *, threads: int, world_size: int) -> dict[str, Any]:
    """Return the outcome and cost columns of a row.

    Raises
    ------
    ProgramDiverged
        If the validation loss is null.
    BadAnswer
        If a column's value is no number, or there are too many others.
    """
    assert state.result is not None
    answer = state.result
    if answer.get("val_loss") is None:
        raise ProgramDiverged(f"the validation loss is null after step {state.step}: the model has diverged")
    row: dict[str, Any] = {}
    for name in COLUMNS:
        if answer.get(name) is not None:
            row[name] = finite(answer[name])
            if row[name] is None:
                raise BadAnswer(f"result.json: {name} is {json.dumps(answer[name])[:80]}, which is no number")
    if "model_bytes" in row:
        if row["model_bytes"] < 0 or not row["model_bytes"].is_integer():
            raise BadAnswer(f"result.json: model_bytes is {row['model_bytes']}, which is no count")
        row["model_bytes"] = int(row["model_bytes"])
    others = {n: v for n in sorted(answer) if n not in (*COLUMNS, *_ABOUT) and (v := finite(answer[n])) is not None}
    if len(others) > MOST_METRICS or any(len(name) > MOST_METRICS for name in others):
        raise BadAnswer(f"result.json: {len(others)} other numbers; {MOST_METRICS} are kept, of names as long at most")
    return {
        **row,
        "metrics": json.dumps(others) if others else None,
        "sharing": program.level.value,
        "wall_s": state.wall_s,
        "device_s": state.wall_s * world_size,
        "threads": threads,
    }


def with_tasks(row: dict[str, Any], answer: dict[str, Any] | None, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return a row with the scores of tasks among its metrics, as ``TASK.METRIC``.

    Raises
    ------
    BadAnswer
        If a task has none, or one of them is no number.
    """
    scores = (answer or {}).get("scores")
    more: dict[str, float] = {}
    for task in tasks:
        of_task = scores.get(task.name) if isinstance(scores, dict) else None
        if not isinstance(of_task, dict) or not 0 < len(of_task) <= MOST_METRICS:
            raise BadAnswer(f"result.json: scores hold nothing of the task {task.name}: {{NAME: {{METRIC: number}}}}")
        for metric, value in of_task.items():
            number = finite(value)
            if number is None or "." in metric or len(metric) > MOST_METRICS:
                raise BadAnswer(f"result.json: {task.name}: {metric[:80]!r} is {json.dumps(value)[:80]}, no metric")
            more[f"{task.name}.{metric}"] = number
    before: dict[str, float] = json.loads(row["metrics"]) if row["metrics"] else {}
    return {**row, "metrics": json.dumps(before | more)}
