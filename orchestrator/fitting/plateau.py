"""Runs that sit at chance: a plateau at the top of the losses, on which no power law holds.

Every law here is convex in the logs: log L against the log axes bends upwards, so a plane fitted to the lower losses
and extended to the rows of the highest loss runs below them or through them. Rows that lie clearly *below* that
plane, all at one loss, have stopped following any such law.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray, Mask

#: Log losses within this of each other count as one level.
LEVEL: Final = 0.01
#: A plateau holds at least this share of the rows, with no more than `ABOVE` (diverged runs) above it.
SHARE: Final = 0.3
ABOVE: Final = 0.05
#: Where the total spread is less, every row is near every other and nothing can be told.
LEAST_SPREAD: Final = 0.05
#: The extended plane must lie this far above the plateau, in log loss and in residual deviations of the plane.
LEAST_GAP: Final = 0.03
DEVIATIONS: Final = 4.0


def plateau_rows(log_axes: Sequence[FloatArray], log_loss: FloatArray) -> Mask:
    """Return which rows sit at a plateau, shape (rows,); all False where there is none.

    Parameters
    ----------
    log_axes
        Logs of the axes that vary, each of shape (rows,).
    log_loss
        Shape (rows,).
    """
    none = np.zeros(log_loss.size, dtype=bool)
    top = _densest_top(log_loss)
    rest = log_loss < top - LEVEL
    level = ~rest & (log_loss <= top)
    if level.sum() < max(4, SHARE * log_loss.size) or np.quantile(log_loss[~rest], 0.5) - log_loss.min() < LEAST_SPREAD:
        return none
    moving = [axis for axis in log_axes if np.ptp(axis[rest]) > 0] if rest.any() else []
    design = np.column_stack([np.ones_like(log_loss), *moving])
    if rest.sum() < design.shape[1] + 1:
        return level if level.mean() > 0.7 and rest.sum() > 1 else none
    plane, *_ = np.linalg.lstsq(design[rest], log_loss[rest], rcond=None)
    gap = design @ plane - log_loss
    freedom = rest.sum() - design.shape[1]
    noise = float(np.sqrt((gap[rest] ** 2).sum() / freedom))
    # The plateau's rows farthest from the others, where the plane stands highest, must lie far below it.
    reach = float(np.quantile(gap[level], 0.75))
    return level if reach > max(LEAST_GAP, DEVIATIONS * noise) and np.median(gap[level]) > 0 else none


def _densest_top(log_loss: FloatArray) -> float:
    """The upper edge of the fullest level among those with few rows above."""
    ordered = np.sort(log_loss)
    edges = ordered[ordered.size - 1 - int(ABOVE * ordered.size) :]
    counts = np.searchsorted(ordered, edges, side="right") - np.searchsorted(ordered, edges - LEVEL, side="left")
    return float(edges[np.argmax(counts)])
