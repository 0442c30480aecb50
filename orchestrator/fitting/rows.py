"""From the rows of a store to the table that laws are fitted to."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import BadInput
from orchestrator.fitting.check import FIRST_ROW, SOURCE

#: What the store calls a target; other targets go by their column's name.
TARGET_COLUMNS: Final = {"loss": "val_loss"}


def axes_from_rows(
    table: pa.Table, *, target: str = "loss", task: str | None = None, recipe: str | None = None
) -> pa.Table:
    """Return ``n, d, e`` (``ft_d, ft_e, eps`` where the task has them) and the target of one task's and recipe's rows.

    Takes the rows that are ok and uncompressed: n = params_non_embedding, d = data_tokens (data_examples where there
    are no tokens), e = epochs, ft_d = finetune_examples, ft_e = finetune_epochs, eps = epsilon where every row
    has it and one is compressed.

    Parameters
    ----------
    table
        Rows of a store.
    target
        ``loss`` is the validation loss; any other outcome goes by its column's name.
    task
        The data that rows were scored on; by default the only one, or the last in the chain: the fine-tuning task.

    recipe
        The recipe by which rows were trained; by default the only one.

    Raises
    ------
    BadInput
        If the target, the task or the recipe isn't there, or no row is left.
    """
    measured = TARGET_COLUMNS.get(target, target)
    if measured not in table.column_names:
        raise BadInput(f"rows have no column {measured!r} for the target {target!r}; try loss or accuracy")
    ok = pc.equal(table["status"], "ok")
    rows = table.filter(pc.and_(ok, pc.is_null(table["compression_method"])))
    if rows.num_rows == 0:
        raise BadInput(f"none of the store's {table.num_rows} rows is ok and uncompressed; nothing to fit")
    task = task if task is not None else _last_task(rows)
    tasks = sorted(set(rows["task"].to_pylist()))
    rows = rows.filter(pc.equal(rows["task"], task))
    if rows.num_rows == 0:
        raise BadInput(f"no finished row has the task {task!r}; tasks there: {', '.join(map(str, tasks))}")
    rows = _of_recipe(rows, recipe)
    tuned = pc.is_valid(rows["finetune_examples"])
    finetuned = bool(pc.any(tuned).as_py())
    if finetuned:
        rows = rows.filter(tuned)
    if rows[measured].null_count == rows.num_rows:
        raise BadInput(f"no row of task {task!r} has a value of {measured}; fit another target")
    columns = {
        "n": rows["params_non_embedding"],
        "d": pc.coalesce(rows["data_tokens"], rows["data_examples"]),
        "e": rows["epochs"],
    }
    if finetuned:
        columns |= {"ft_d": rows["finetune_examples"], "ft_e": rows["finetune_epochs"]}
    epsilon = set(rows["epsilon"].to_pylist()) if "epsilon" in rows.column_names else {None}
    if None not in epsilon and epsilon != {1.0}:
        columns["eps"] = rows["epsilon"]
    columns[target] = rows[measured]
    source = f"the rows of task {task}".encode()
    return pa.table(columns).replace_schema_metadata({SOURCE: source, FIRST_ROW: b"1"})


def recipes_in(table: pa.Table) -> list[str]:
    """Return the names of the recipes that rows were trained by, sorted; rows of an older schema name none."""
    if "recipe" not in table.column_names:
        return []
    return sorted({name for name in table["recipe"].to_pylist() if name is not None})


def _of_recipe(rows: pa.Table, recipe: str | None) -> pa.Table:
    known = recipes_in(rows)
    if recipe is None:
        if len(known) > 1:
            raise BadInput(f"rows of several recipes: choose one with --recipe ({', '.join(known)})")
        return rows
    if recipe not in known:
        raise BadInput(f"no finished row has the recipe {recipe!r}; recipes there: {', '.join(known) or 'none'}")
    return rows.filter(pc.equal(rows["recipe"], recipe))


def _last_task(rows: pa.Table) -> str:
    """The only task, or the only one with fine-tuned rows."""
    tasks = sorted(set(rows["task"].to_pylist()))
    tuned = sorted(set(rows.filter(pc.is_valid(rows["finetune_examples"]))["task"].to_pylist()))
    for candidates in (tasks, tuned):
        if len(candidates) == 1:
            return str(candidates[0])
    raise BadInput(f"rows of several tasks: choose one with --task ({', '.join(map(str, tuned or tasks))})")
