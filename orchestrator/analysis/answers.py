"""The verbs that ask as plain functions: a store or a table in, the JSON-able document of the verb out."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from orchestrator.analysis.compute_optimal import compute_optimal, gather_pretrained, positive
from orchestrator.analysis.inputs import ColumnMap, RowChoice, Source, gather, opened
from orchestrator.analysis.measured_best import measured_best
from orchestrator.analysis.sweep_status import progress_report
from orchestrator.errors import BadInput
from orchestrator.store import Store
from orchestrator.store import query as query_open_store

#: A number, or one as people write it: ``1M``, ``1e18``.
Number: TypeAlias = float | str


def predict(
    source: Source,
    *,
    n: Number | None = None,
    d: Number | None = None,
    e: Number | None = None,
    ft_d: Number | None = None,
    ft_e: Number | None = None,
    eps: Number | None = None,
    law: str | None = None,
    level: float = 0.9,
    mapping: ColumnMap | None = None,
    task: str | None = None,
    recipe: str | None = None,
    sweep: str | None = None,
    target: str | None = None,
    where: str | None = None,
    drop_empty: bool = False,
    envelope: bool = False,
    group: str | None = None,
    decimal: str = ".",
) -> dict[str, Any]:
    """Predict what a run not yet made would reach.

    Parameters
    ----------
    source
        A store by its address or open, or a table: a ``.csv``, ``.parquet`` or ``.jsonl`` file or a pyarrow Table.
    n, d, e
        Non-embedding parameters, unique tokens (examples where there are none) and epochs over them, 1 if not given;
        what the rows don't have may be left out.
    ft_d, ft_e, eps
        Fine-tuning examples, epochs over them, and the share kept by compression, where the rows have them.
    law
        By which it is predicted; by default the best.
    level
        Coverage of the interval.
    mapping
        Columns of a table: ``n=size,d=tokens,loss=val_loss``, or the same as a mapping.
    task, recipe, sweep
        Rows of a store: scored on this data, trained by this recipe, of this sweep.
    target
        What is predicted; by default what the sweep's YAML says, ``loss`` for a table.
    where, drop_empty, envelope, group, decimal
        Which rows count, and what hangs together, as `RowChoice` says.

    Returns
    -------
    dict
        ``value, lo, hi``, the point, the ``law`` and ``warnings``.

    Raises
    ------
    BadInput
        If there is nothing to predict from, or the point is none of its axes.
    """
    rows = RowChoice(where=where, drop_empty=drop_empty, envelope=envelope, group=group, decimal=decimal)
    evidence = gather(source, mapping=mapping, target=target, sweep=sweep, task=task, recipe=recipe, rows=rows)
    asked = {"n": n, "d": d, "e": e, "ft_d": ft_d, "ft_e": ft_e, "eps": eps}
    point = {axis: str(given) for axis, given in asked.items() if given is not None}
    return evidence.predict(point, law=law, level=level)


def optimal(
    source: Source,
    *,
    flops: Number | None = None,
    served_tokens: Number | None = None,
    epochs_max: Number | None = None,
    d_max: Number | None = None,
    law: str | None = None,
    curve: bool = False,
    max_bytes: Number | None = None,
    max_latency: Number | None = None,
    mapping: ColumnMap | None = None,
    task: str | None = None,
    recipe: str | None = None,
    sweep: str | None = None,
    loss: Number | None = None,
    n: Number | None = None,
    d: Number | None = None,
    target: str | None = None,
    where: str | None = None,
    drop_empty: bool = False,
    envelope: bool = False,
    group: str | None = None,
    decimal: str = ".",
) -> dict[str, Any]:
    """Find the N, D and E that a budget is best spent on, or the best measured cell within limits of its model.

    Parameters
    ----------
    source, mapping, task, recipe, sweep, target, where, drop_empty, envelope, group, decimal
        As `predict` takes them.
    loss, n, d
        Instead of ``flops``: the cheapest budget that reaches a loss; the data that a model of ``n`` needs for it; the
        budget whose best model has ``n`` parameters, or takes ``d`` data.
    flops
        The budget: of training, and of serving where ``served_tokens`` is given.
    epochs_max, d_max
        Most epochs, and the unique data there is.
    law
        By which it is found; by default the best that has an optimum.
    curve
        Also answer for budgets from a tenth to ten times ``flops``.
    max_bytes, max_latency
        Instead of ``flops``: the largest model file, and the seconds at batch 1, of a store's cells.

    Returns
    -------
    dict
        ``n, d, e, loss`` with intervals, the ``law`` and ``warnings``; within limits ``best`` and ``runner_up``.

    Raises
    ------
    BadInput
        If it isn't said what is limited, nothing is within the limits, or no law has an optimum.
    """
    rows = RowChoice(where=where, drop_empty=drop_empty, envelope=envelope, group=group, decimal=decimal)
    given = {"max_bytes": ("model_bytes", max_bytes), "max_latency": ("latency_p50_s", max_latency)}
    limits = {column: _above_zero(name, most, math.inf) for name, (column, most) in given.items() if most is not None}
    back = {name: _above_zero(name, value, 0.0) or None for name, value in (("loss", loss), ("n", n), ("d", d))}
    asked = any(value is not None for value in back.values())
    if (flops is not None) + bool(limits) + asked != 1:
        raise BadInput(
            "say what is limited: either `flops`, or `max_bytes` and `max_latency`, one of them or both; or ask back "
            "by `loss`, `n` or `d`"
        )
    if limits:
        others = {
            "served_tokens": served_tokens,
            "epochs_max": epochs_max,
            "d_max": d_max,
            "law": law,
            "curve": curve or None,
            "mapping": mapping,
        }
        if alone := [f"`{name}`" for name, value in others.items() if value is not None]:
            raise BadInput(f"{' and '.join(alone)} belong to `flops`: leave out, or give `flops` instead of limits")
        return measured_best(source, limits, task=task, recipe=recipe, sweep=sweep)
    return compute_optimal(
        gather_pretrained(source, mapping=mapping, task=task, recipe=recipe, sweep=sweep, target=target, rows=rows),
        flops=None if flops is None else _above_zero("flops", flops, math.inf),
        **back,
        served=_above_zero("served_tokens", served_tokens, 0.0),
        d_max=_above_zero("d_max", d_max, math.inf),
        e_max=_above_zero("epochs_max", epochs_max, math.inf, least=1.0),
        law=law,
        curve=curve,
    )


def status(store: str | Store, *, sweep: str | None = None) -> dict[str, Any]:
    """Tell how many cells of each sweep of a store are done, failed and missing, and what the failures say.

    Raises
    ------
    BadInput
        If there is no store, or no such sweep in it.
    """
    return progress_report(store, sweep)


def query(
    store: str | Store, sql: str, *, sweep: str | None = None, limit_rows: int | None = None
) -> list[dict[str, Any]]:
    """Return the records of one SELECT over the tables ``results`` and ``fits`` of a store, by its address or open.

    Parameters
    ----------
    sweep
        Restricts both tables to one sweep.
    limit_rows
        Return only the first so many records; ``None``: all of them, at most 1,000,000.

    Raises
    ------
    BadInput
        If there is no store, the statement is wrong or does more than read, or the answer is too large.
    """
    return query_open_store(opened(store), sql, sweep=sweep, limit_rows=limit_rows)


def _above_zero(name: str, given: Number | None, missing: float, *, least: float = 0.0) -> float:
    return positive(f"`{name}`", None if given is None else str(given), missing, least=least)
