"""Which rows a law is tested on: those it would have to extrapolate to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import AXES, FloatArray, Mask, distinct, training_cost, varies

HoldOut = str | float | None
#: With more distinct values than this on both axes there is no grid, and the dearest share is held out.
MOST_LEVELS: Final = 12
DEAREST_SHARE: Final = 0.2


def held_out_rows(columns: Mapping[str, FloatArray], hold_out: HoldOut) -> Mask | None:
    """Return a mask of the rows to hold out, shape (rows,), or None where none are.

    Parameters
    ----------
    hold_out
        ``"largest"``: rows with the largest n or the largest d, or, with more than `MOST_LEVELS` distinct values on
        both, the dearest 20 % by n·d. A number f: the dearest share f by n·d·e. ``"none"`` or None: no rows.

    Raises
    ------
    BadInput
        If it is none of these.
    """
    if hold_out is None or hold_out == "none":
        return None
    if hold_out == "largest":
        moving = [a for a in ("n", "d") if a in columns and varies(columns[a])]
        if len(moving) == 2 and all(distinct(columns[a]) > MOST_LEVELS for a in moving):
            return _dearest(columns["n"] * columns["d"], DEAREST_SHARE)
        moving = moving or [a for a in AXES if a in columns and varies(columns[a])][:1]
        if not moving:
            return None
        mask = np.zeros(columns[moving[0]].size, dtype=bool)
        for axis in moving:
            mask |= columns[axis] >= columns[axis].max() * (1 - 1e-9)
        return mask
    return _dearest(training_cost(columns), _share(hold_out))


def _share(hold_out: str | float) -> float:
    try:
        share = float(hold_out)
    except ValueError:
        share = float("nan")
    if not 0 < share < 1:
        raise BadInput(f"hold_out {hold_out!r}: write largest, none, or a share between 0 and 1 such as 0.2")
    return share


def _dearest(cost: FloatArray, share: float) -> Mask:
    """The dearest rows, rounded to at least one; rows of one cost go together where the share allows."""
    count = max(1, round(share * cost.size))
    mask = np.zeros(cost.size, dtype=bool)
    mask[np.argsort(-cost, kind="stable")[:count]] = True
    return mask
