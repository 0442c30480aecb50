"""Rows whose loss rises along an axis, such as data repeated too often: no law here can say that, so it is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from orchestrator.fitting.axes import AXES, MEANING, FloatArray
from orchestrator.fitting.caution import Caution

#: Rise of the log loss from the lowest of a line to its end that is no noise, and lines that must show it.
LEAST_RISE: Final = 0.01
FEWEST_LINES: Final = 2
LEAST_SHARE: Final = 0.2
#: Values on a line from which it has a course.
FEWEST_VALUES: Final = 3
#: Rows that are looked at, at most.
MOST_ROWS: Final = 20_000


def rising(axes: Mapping[str, FloatArray], loss: FloatArray) -> list[Caution]:
    """Return a caution for each of n, d and e along which the loss rises in many lines of rows that differ in it alone.

    Parameters
    ----------
    axes, loss
        Columns of shape (rows,).
    """
    if loss.size > MOST_ROWS:
        return []
    names = [name for name in AXES if name in axes]
    logs = {name: np.round(np.log(axes[name]), 9) for name in names}
    found = []
    for name in ("n", "d", "e"):
        if name not in names or ("unique_d" in names and name == "d"):
            continue
        others = [logs[other] for other in names if other != name]
        place = np.column_stack(others) if others else np.zeros((loss.size, 1))
        _, of = np.unique(place, axis=0, return_inverse=True)
        rises, courses, worst = 0, 0, (0.0, 0, 0)
        for line in np.unique(of.reshape(-1)):
            rows = np.flatnonzero(of.reshape(-1) == line)
            rows = rows[np.argsort(logs[name][rows], kind="stable")]
            if np.unique(logs[name][rows]).size < FEWEST_VALUES:
                continue
            courses += 1
            lowest = int(rows[np.argmin(loss[rows])])
            rise = float(np.log(loss[rows[-1]] / loss[lowest]))
            rises += rise > LEAST_RISE
            worst = max(worst, (rise, lowest, int(rows[-1])))
        if rises >= max(FEWEST_LINES, LEAST_SHARE * courses):
            _, lowest, end = worst
            said = (
                f"in these rows the loss rises with {MEANING[name]} ({name}): from {loss[lowest]:.4g} at "
                f"{axes[name][lowest]:.4g} to {loss[end]:.4g} at {axes[name][end]:.4g}; no law here can, so that more "
                f"{name} looks harmless where it does harm"
            )
            found.append(Caution(said, f"rises_with_{name}", lines=float(rises), of=float(courses)))
    return found
