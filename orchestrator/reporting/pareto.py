"""The cells that no other cell beats on both counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray


def pareto(cost: FloatArray, loss: FloatArray) -> NDArray[np.intp]:
    """Return the indices of the Pareto frontier, cost ascending and loss strictly descending.

    Parameters
    ----------
    cost, loss
        Shape (cells,); less is better in both. Of cells that are equal in both the first is taken.
    """
    order = np.lexsort((loss, cost))
    lowest = np.minimum.accumulate(loss[order])
    better = np.concatenate([[True], lowest[1:] < lowest[:-1]])[: order.size]
    found: NDArray[np.intp] = order[better]
    return found
