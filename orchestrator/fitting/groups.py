"""Rows that hang together: checkpoints of one run, runs of one size. They are no independent evidence."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.sample import Sample
from orchestrator.fitting.table_words import missing_column

Ids = NDArray[np.intp]
#: Groups below which drawing them together says nothing, and rows of a group on average that make it one.
FEWEST: Final = 5
ROWS_EACH: Final = 3.0
#: Share of chance findings among tables whose rows don't hang together.
CHANCE: Final = 1e-3


def group_ids(table: pa.Table, column: str | None) -> Ids | None:
    """Return the group of each row by a column, counted from 0, shape (rows,); None where none is named.

    Raises
    ------
    BadInput
        If the column isn't there.
    """
    if column is None:
        return None
    if table.column_names.count(column) != 1:
        raise BadInput(missing_column(table, column, "groups"))
    known: dict[object, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in table[column].to_pylist()], dtype=np.intp)


def sizes(sample: Sample) -> Ids:
    """Return the group of each row by its N; one group where N is no axis."""
    n = sample.log_axes.get("n", np.zeros(sample.rows))
    ids: Ids = np.unique(np.round(n, 9), return_inverse=True)[1].reshape(-1)
    return ids


def counts(ids: Ids) -> Ids:
    """Return the sizes of groups."""
    found: Ids = np.bincount(ids)
    return found


def move_together(residuals: FloatArray, ids: Ids) -> float | None:
    """Return the ratio of mean squares between and within groups where it is no chance, else None.

    The residuals' ranks take their place, so that one diverged run makes no group.
    """
    of = counts(ids)
    groups, rows = of.size, ids.size
    if groups < FEWEST or rows < ROWS_EACH * groups:
        return None
    from scipy.special import fdtrc  # here, so that importing the fitter loads no scipy

    ranks = np.empty(rows)
    ranks[np.argsort(residuals, kind="stable")] = np.arange(rows) - (rows - 1) / 2
    means = np.bincount(ids, ranks) / of
    between = float((of * means**2).sum()) / (groups - 1)
    within = float(((ranks - means[ids]) ** 2).sum()) / (rows - groups)
    ratio = between / max(within, 1e-300)
    return ratio if float(fdtrc(groups - 1, rows - groups, ratio)) < CHANCE else None
