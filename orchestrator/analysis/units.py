"""Whether a table's n and d can be numbers of parameters and tokens, or are in millions and billions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray

#: No axis in units of one has values as small as these in every row where the other is small too.
SMALL: Final = 1e5
#: Data for each parameter that no run has: below, d is in units of many; above, n is.
FEWEST: Final = 1e-6
MOST: Final = 1e6


def check_units(columns: Mapping[str, FloatArray], stated: frozenset[str]) -> None:
    """Refuse n and d that can't be counted in ones.

    Parameters
    ----------
    columns
        Of shape (rows,), ``n`` and ``d`` among them or not.
    stated
        Axes whose unit a person has stated by arithmetic; they are believed.

    Raises
    ------
    BadInput
        Naming the likely factor.
    """
    if not {"n", "d"} <= set(columns) or stated:
        return
    n, d = columns["n"], columns["d"]
    if not (np.isfinite(n).all() and np.isfinite(d).all() and (n > 0).all() and (d > 0).all()):
        return
    if np.ptp(n) == 0 or np.ptp(d) == 0:
        return
    ratio, what = float(np.median(d / n)), f"n is at most {n.max():,.6g} and d at most {d.max():,.6g}"
    if n.max() < SMALL and d.max() < SMALL and ratio < 1.0:
        guess, fix = "n in millions and d in billions", "n=COLUMN*1e6,d=COLUMN*1e9"
    elif ratio < FEWEST:
        guess, fix = "d in billions", "d=COLUMN*1e9"
    elif ratio > MOST:
        guess, fix = "n in millions", "n=COLUMN*1e6"
    else:
        return
    raise BadInput(f"{what}: {guess}? write `mapping` {fix}, or multiply by 1 where that is right as it is")
