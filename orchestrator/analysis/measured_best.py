"""The best measured cell whose model is small or fast enough."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.axes_of_rows import of_recipe
from orchestrator.errors import BadInput

#: What can be limited, and what its unit is called.
LIMITS: Final = {"model_bytes": "bytes", "latency_p50_s": "s"}


def measured_rows(
    table: pa.Table, needed: Iterable[str], *, task: str | None = None, recipe: str | None = None
) -> pa.Table:
    """Return the rows of one task that are ok and have a loss and what else is needed; compressed ones included.

    Parameters
    ----------
    table
        Rows of a store.
    needed
        Columns among `LIMITS`.
    task
        The data that rows were scored on; by default the only one, or the one that was fine-tuned on.
    recipe
        Rows trained by this recipe; by default by any.

    Raises
    ------
    BadInput
        If several tasks are there to choose from, or no row is left.
    """
    rows = table.filter(pc.equal(table["status"], "ok"))
    if rows.num_rows == 0:
        raise BadInput(f"none of the store's {table.num_rows} rows is ok; nothing was measured")
    tasks = sorted(set(rows["task"].to_pylist()))
    tuned = sorted(set(rows.filter(pc.is_valid(rows["finetune_examples"]))["task"].to_pylist()))
    if task is None:
        if len(tasks) > 1 and len(tuned) != 1:
            raise BadInput(f"rows of several tasks: choose one with `task` ({', '.join(tuned or tasks)})")
        task = (tuned if len(tasks) > 1 else tasks)[0]
    rows = rows.filter(pc.equal(rows["task"], task))
    if rows.num_rows == 0:
        raise BadInput(f"no finished row has the task {task!r}; tasks there: {', '.join(tasks)}")
    if recipe is not None:
        rows = of_recipe(rows, recipe)
    for column in ("val_loss", *needed):
        rows = rows.filter(pc.is_valid(rows[column]))
        if rows.num_rows == 0:
            raise BadInput(f"no row of task {task} has a value of {column}; its sweep did not measure it")
    return rows


def best_within(rows: pa.Table, limits: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the cells within all limits, the lowest validation loss first; of equals the smaller, then the faster.

    Parameters
    ----------
    rows
        As `measured_rows` returns them.
    limits
        Largest value of each of some columns among `LIMITS`.

    Raises
    ------
    BadInput
        If no cell is within the limits; names the smallest there is.
    """
    cells = [_cell(row) for row in rows.to_pylist()]
    fitting = [cell for cell in cells if all(cell[name] <= most for name, most in limits.items())]
    if not fitting:
        raise BadInput(_nothing(cells, limits))

    def order(cell: dict[str, Any]) -> tuple[Any, ...]:
        return cell["loss"], *(math.inf if cell[name] is None else cell[name] for name in LIMITS), cell["cell_id"]

    return sorted(fitting, key=order)


def _cell(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cell_id": row["cell_id"],
        "loss": row["val_loss"],
        "n": row["params_non_embedding"],
        "d": row["data_examples"] if row["data_tokens"] is None else row["data_tokens"],
        "e": row["epochs"],
        "ft_d": row["finetune_examples"],
        "ft_e": row["finetune_epochs"],
        "compression": row["compression"],
        "recipe": row.get("recipe"),
        **{name: row[name] for name in LIMITS},
    }


def _nothing(cells: list[dict[str, Any]], limits: Mapping[str, float]) -> str:
    """Say what the smallest cell has, for each limit that none keeps, or what that of the others has."""
    least = []
    for name, most in limits.items():
        others = {key: value for key, value in limits.items() if key != name}
        kept = [cell for cell in cells if all(cell[key] <= value for key, value in others.items())]
        smallest = min((cell[name] for cell in kept), default=math.inf)
        if most < smallest < math.inf:
            within = "".join(f" within {key} {value:g}" for key, value in others.items())
            least.append(f"the smallest {name}{within} is {smallest:,.6g} {LIMITS[name]}, the limit {most:,.6g}")
    if not least:
        each = (f"{name} {min(cell[name] for cell in cells):,.6g} {LIMITS[name]}" for name in limits)
        least = ["the smallest there is, each by itself: " + ", ".join(each)]
    return "no measured cell fits: " + "; ".join(least)
