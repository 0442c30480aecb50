"""From the rows of a store to the table that laws are fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.tables import map_columns
from orchestrator.errors import BadInput
from orchestrator.fitting.table_words import FIRST_ROW, GROUP, SOURCE, missing_column

#: What the store calls a target; other targets go by their column's name.
TARGET_COLUMNS: Final = {"loss": "val_loss"}
#: What ε may measure, and the column that does.
EPSILON_COLUMNS: Final = {"bytes": "epsilon", "fidelity": "fidelity", "bits": "bits_per_param"}
Epsilon = Literal["bytes", "fidelity", "bits"]


def axes_from_rows(
    table: pa.Table,
    *,
    target: str = "loss",
    task: str | None = None,
    recipe: str | None = None,
    finetuned: bool | None = None,
    epsilon: Epsilon = "bytes",
    keep: str | None = None,
    mapping: Mapping[str, str] | None = None,
    group: str | None = None,
) -> pa.Table:
    """Return ``n, d, e`` and the target of one task's and recipe's rows, with ``ft_d, ft_e, eps`` where it has them.

    Takes the rows that are ok: n = params_non_embedding, d = data_tokens (data_examples where there are no tokens),
    e = epochs, ft_d = finetune_examples, ft_e = finetune_epochs. Where a row is compressed, eps is what ``epsilon``
    says, and ``variant`` tells what was done. Compressed rows come with eps; those of which an older scalaw measured
    none are left out.

    Parameters
    ----------
    table
        Rows of a store.
    target
        ``loss`` is the validation loss; any other outcome goes by its column's name.
    task
        The data that rows were scored on; by default the only one, or the last in the chain: the fine-tuning task.
    recipe
        The recipe by which rows were trained, or a part of its name that no other has; by default the only one.
    finetuned
        Whether to take fine-tuned rows or pretrained ones; by default the former where the task has any.
    epsilon
        What ε is: the share of ``bytes`` or of ``fidelity`` kept, or ``bits`` a parameter over 32.
    keep
        A column of the store that is kept beside them; ``recipe`` keeps the rows of all recipes.
    mapping
        Axes that are other columns of the store, or arithmetic of them: ``n`` to ``params_total``.
    group
        A column that tells which rows hang together.

    Raises
    ------
    BadInput
        If the target, the task or the recipe isn't there, or no row is left.
    """
    measured = TARGET_COLUMNS.get(target, target)
    if measured not in table.column_names:
        raise BadInput(f"rows have no column {measured!r} for the target {target!r}; try loss or accuracy")
    rows = table.filter(pc.equal(table["status"], "ok"))
    if rows.num_rows == 0:
        raise BadInput(f"none of the store's {table.num_rows} rows is ok; nothing to fit")
    rows = of_task(rows, task, finetuned)
    task = rows["task"][0].as_py()
    if keep is not None and keep not in rows.column_names:
        raise BadInput(missing_column(rows, keep))
    rows = rows if keep == "recipe" and recipe is None else of_recipe(rows, recipe)
    tuned = pc.is_valid(rows["finetune_examples"])
    if finetuned is None:
        finetuned = bool(pc.any(tuned).as_py())
    rows = rows.filter(tuned if finetuned else pc.invert(tuned))
    rows, eps = _with_epsilon(rows, epsilon)
    if rows.num_rows == 0:
        kind = "fine-tuned" if finetuned else "pretrained"
        raise BadInput(f"no {kind} row of task {task!r} is ok and uncompressed; nothing to fit")
    if rows[measured].null_count == rows.num_rows:
        raise BadInput(f"no row of task {task!r} has a value of {measured}; fit another target")
    columns = {
        "n": rows["params_non_embedding"],
        "d": pc.coalesce(rows["data_tokens"], rows["data_examples"]),
        "e": rows["epochs"],
    }
    if finetuned:
        columns |= {"ft_d": rows["finetune_examples"], "ft_e": rows["finetune_epochs"]}
    if eps is not None:
        columns["eps"] = eps
        columns["variant"] = rows["compression" if "compression" in rows.column_names else "compression_method"]
    columns[target] = rows[measured]
    if mapping:
        given = map_columns(rows, mapping, target if target in mapping else measured).table
        columns |= {name: given[name] for name in mapping}
    if keep is not None:
        columns.setdefault(keep, rows[keep])
    if group is not None:
        if group not in rows.column_names:
            raise BadInput(missing_column(rows, group, "groups"))
        columns[GROUP] = rows[group]
    source = f"the rows of task {task}".encode()
    return pa.table(columns).replace_schema_metadata({SOURCE: source, FIRST_ROW: b"1"})


def _with_epsilon(rows: pa.Table, epsilon: Epsilon) -> tuple[pa.Table, pa.ChunkedArray | None]:
    """Return the rows with a known ε and that ε, or the uncompressed rows alone where none is compressed."""
    column = EPSILON_COLUMNS[epsilon]
    compressed = pc.is_valid(rows["compression_method"])
    if column in rows.column_names and pc.any(pc.and_(compressed, pc.is_valid(rows[column]))).as_py():
        rows = rows.filter(pc.is_valid(rows[column]))
        return rows, pc.divide(rows[column], 32.0 if epsilon == "bits" else 1.0)
    return rows.filter(pc.invert(compressed)), None


def recipes_in(table: pa.Table) -> list[str]:
    """Return the names of the recipes that rows were trained by, sorted; rows of an older schema name none."""
    if "recipe" not in table.column_names:
        return []
    return sorted({name for name in table["recipe"].to_pylist() if name is not None})


def of_recipe(rows: pa.Table, recipe: str | None) -> pa.Table:
    """Return the rows of the recipe that has a name or a part of it; of the only one where none is named.

    Raises
    ------
    BadInput
        If no recipe has it, or several do.
    """
    known = recipes_in(rows)
    if recipe is None:
        if len(known) > 1:
            raise BadInput(f"rows of several recipes: choose one with `recipe` ({', '.join(known)})")
        return rows
    named = [name for name in known if recipe == name] or [name for name in known if recipe in name]
    if len(named) != 1:
        raise BadInput(f"no finished row has the recipe {recipe!r}; recipes there: {', '.join(known) or 'none'}")
    return rows.filter(pc.equal(rows["recipe"], named[0]))


def of_task(rows: pa.Table, task: str | None, finetuned: bool | None = None) -> pa.Table:
    """Return the rows scored on some data; by default on the only data, or the only that models were fine-tuned on.

    Parameters
    ----------
    rows
        Rows that are ok.
    finetuned
        Where no task is named: True or None for the one of fine-tuned rows, False for that of pretrained ones.

    Raises
    ------
    BadInput
        If no row has the task, or several tasks are there to choose from.
    """
    wanted = _task(rows, finetuned) if task is None else task
    found = rows.filter(pc.equal(rows["task"], wanted))
    if found.num_rows == 0:
        there = ", ".join(sorted(set(map(str, rows["task"].to_pylist()))))
        raise BadInput(f"no finished row has the task {wanted!r}; tasks there: {there}")
    return found


def _task(rows: pa.Table, finetuned: bool | None) -> str:
    """The only task, or the only one with fine-tuned rows, or with pretrained ones where those are asked for."""
    tasks = sorted(set(rows["task"].to_pylist()))
    tuned = sorted(set(rows.filter(pc.is_valid(rows["finetune_examples"]))["task"].to_pylist()))
    untuned = sorted(set(rows.filter(pc.is_null(rows["finetune_examples"]))["task"].to_pylist()))
    for candidates in (tasks, untuned if finetuned is False else tuned):
        if len(candidates) == 1:
            return str(candidates[0])
    raise BadInput(f"rows of several tasks: choose one with `task` ({', '.join(map(str, tuned or tasks))})")
