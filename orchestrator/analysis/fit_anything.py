"""`scalaw.fit`: laws fitted to whatever holds runs, a table, a data frame, columns, a file or a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from orchestrator.analysis.inputs import ColumnMap, RowChoice, Source, gather
from orchestrator.fitting.constrained import Fixes
from orchestrator.fitting.estimate import fit as fit_table
from orchestrator.fitting.table_words import GROUP
from orchestrator.fitting.validation import HoldOut

if TYPE_CHECKING:
    from orchestrator.fitting import FitReport


def fit(
    source: Source,
    *,
    target: str | None = None,
    laws: Sequence[str] | None = None,
    mapping: ColumnMap | None = None,
    where: str | None = None,
    drop_empty: bool = False,
    envelope: bool = False,
    group: str | None = None,
    hold_out: HoldOut = "largest",
    bootstrap: int = 1000,
    seed: int = 0,
    noise: str = "equal",
    resample: str = "case",
    fix: str | Fixes | None = None,
    average: bool | None = None,
) -> FitReport:
    """Fit scaling laws to runs.

    Parameters
    ----------
    source
        A pyarrow Table, a pandas or polars frame, a mapping of arrays, a file, or a store by its address or open.
    target
        Column to predict; by default ``loss``, or what a store's sweep says.
    laws
        Registry names; None tries every law whose axes the rows have, and makes the default answer of them.
    mapping
        Columns that are the axes: ``n=size*1e6,d=tokens``; without it the columns named as axes are.
    where, drop_empty, envelope, group
        Which rows count, and what hangs together, as `RowChoice` says.
    hold_out, bootstrap, seed, noise, resample, fix, average
        As `orchestrator.fitting.fit` takes them.

    Returns
    -------
    FitReport
        ``best`` predicts; ``best_law`` has the exponents to read.

    Raises
    ------
    BadInput
        If it is nothing that can be fitted, or a column, value or setting is wrong.
    """
    plain = mapping is None and where is None and not (drop_empty or envelope)
    if isinstance(source, pa.Table) and plain:
        table, wanted, grouped = source, target or "loss", group
    else:
        rows = RowChoice(where=where, drop_empty=drop_empty, envelope=envelope, group=group)
        evidence = gather(source, mapping=mapping, target=target, rows=rows)
        table, wanted = evidence.axes, evidence.settings["target"]
        grouped = GROUP if GROUP in table.column_names else None
    return fit_table(
        table,
        target=wanted,
        laws=laws,
        hold_out=hold_out,
        bootstrap=bootstrap,
        seed=seed,
        noise=noise,
        resample=resample,
        average=average,
        group=grouped,
        fix=fix,
    )
