"""What a run costs beside those that are paid for already: runs share parts, and a part is paid once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray


class Costs:
    """Costs of runs, each the sum over its parts that nothing has paid for yet.

    Parameters
    ----------
    parts
        The parts of each run; a run that shares nothing has one of its own.
    cost
        What a part costs.
    """

    def __init__(self, parts: Sequence[Sequence[Hashable]], cost: Mapping[Hashable, float]) -> None:
        place = {part: k for k, part in enumerate(cost)}
        self._unpaid: FloatArray = np.array([float(value) for value in cost.values()])
        self._parts: list[NDArray[np.intp]] = [np.array([place[part] for part in run], dtype=np.intp) for run in parts]
        self._flat: NDArray[np.intp] = np.concatenate([*self._parts, np.zeros(0, dtype=np.intp)])
        self._starts = np.cumsum([0, *(part.size for part in self._parts[:-1])])
        self.total = float(self._unpaid.sum())
        self.spent = 0.0

    @classmethod
    def apart(cls, cost: FloatArray) -> Costs:
        """Return the costs of runs that share nothing, shape (runs,)."""
        return cls([[k] for k in range(cost.size)], dict(enumerate(cost.tolist())))

    def budget(self, fraction: float) -> float:
        """Return a share of the cost of all runs.

        Raises
        ------
        BadInput
            If it is no share above 0.
        """
        if not 0 < fraction <= 1:
            raise BadInput(f"`budget_fraction` {fraction:g}: write a share above 0 and at most 1, such as 0.1")
        return fraction * self.total

    def marginal(self) -> FloatArray:
        """Return what each run would cost now, shape (runs,)."""
        result: FloatArray = np.add.reduceat(self._unpaid[self._flat], self._starts)
        return result

    def pay(self, run: int) -> float:
        """Pay for what a run needs; return what it cost."""
        parts = self._parts[run]
        cost = float(self._unpaid[parts].sum())
        self._unpaid[parts] = 0.0
        self.spent += cost
        return cost
