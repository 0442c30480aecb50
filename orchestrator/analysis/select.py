"""``scalaw select`` as a function: what active selection would have done on runs that are finished."""

from __future__ import annotations

from typing import Any

from orchestrator.analysis.inputs import ColumnMap, RowChoice, Source, gather
from orchestrator.errors import BadInput
from orchestrator.fitting.check import numeric_columns
from orchestrator.fitting.selection.replay import replay


def select(
    source: Source,
    *,
    cost: str,
    ahead: Source | None = None,
    budget_fraction: float = 0.1,
    interval: float | None = None,
    target: str | None = None,
    mapping: ColumnMap | None = None,
    task: str | None = None,
    recipe: str | None = None,
    sweep: str | None = None,
    seed: int = 0,
    where: str | None = None,
    drop_empty: bool = False,
    envelope: bool = False,
    group: str | None = None,
    decimal: str = ".",
) -> dict[str, Any]:
    """Replay active selection on finished runs: which rows it takes, and how well they predict the dear ones.

    Parameters
    ----------
    source
        A store by its address or open, or a table: a ``.csv``, ``.parquet`` or ``.jsonl`` file or a pyarrow Table.
    cost
        Column with what a row cost, such as ``flops``.
    ahead
        A table of rows to predict; by default the largest N and D, which then can't be chosen.
    budget_fraction
        Share of the cost of all rows that may be spent.
    interval
        End where the 90 % interval of the target's logarithm is narrower than this.
    target, mapping, task, recipe, sweep, where, drop_empty, envelope, group, decimal
        As `fit_source` takes them.
    seed
        Decides between rows that are worth the same.

    Returns
    -------
    dict
        The rows ``chosen``, their ``cost`` and how well they predict (``r2``, ``rmse_log``, ``covered``).

    Raises
    ------
    BadInput
        If a column is missing, or the budget pays for no fit.
    """
    if interval is not None and not interval > 0:
        raise BadInput(f"`interval` {interval:g}: must be above 0")
    rows = RowChoice(where=where, drop_empty=drop_empty, envelope=envelope, group=group, decimal=decimal)
    evidence = gather(
        source, mapping=mapping, target=target, sweep=sweep, task=task, recipe=recipe, keep=cost, rows=rows
    )
    aims = None if ahead is None else gather(ahead, mapping=mapping, target=target, rows=RowChoice(decimal=decimal))
    found = replay(
        evidence.axes,
        numeric_columns(evidence.axes, [cost])[cost],
        ahead=None if aims is None else aims.axes,
        target=evidence.settings["target"],
        budget_fraction=budget_fraction,
        interval=interval,
        seed=seed,
    )
    document = found.to_json()
    return {**document, "warnings": [*evidence.notes, *document["warnings"]]}
