"""What a compute budget can pay for: the choices of N, D and E that spend it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """FLOPs for training, k·N·D·E, and for serving, k/3·N·T: a forward pass is a third of a training step.

    With k = 6 these are the 6·N·D·E of Kaplan et al. 2020 and the 2·N·T of Sardana et al. 2023 ("Beyond
    Chinchilla-optimal"). All of the budget is spent; D, E and T count in one unit, tokens or examples.

    Parameters
    ----------
    flops
        All that training and serving may cost.
    flops_per_nde
        k: training FLOPs a parameter and token (or example).
    served
        T: tokens (or examples) that the model is to serve over its life.
    d_max
        Unique data there is.
    e_max
        Most epochs.
    by_size
        Where a table has FLOPs of its own: ln n, ascending, and ln k there. Between them k is interpolated, beyond them
        it is that of the nearest size, and ``flops_per_nde`` stands for none.
    """

    flops: float
    flops_per_nde: float = 6.0
    served: float = 0.0
    d_max: float = math.inf
    e_max: float = math.inf
    by_size: tuple[FloatArray, FloatArray] | None = None

    def each(self, log_n: FloatArray) -> FloatArray:
        """Return k at model sizes."""
        if self.by_size is None:
            return np.full(np.shape(log_n), self.flops_per_nde)
        found: FloatArray = np.exp(np.interp(log_n, *self.by_size))
        return found

    def cost(self, log_n: FloatArray, seen: FloatArray) -> FloatArray:
        """Return the FLOPs of training on so much data and of serving."""
        found: FloatArray = self.each(log_n) * np.exp(log_n) * (seen + self.served / 3.0)
        return found

    def sizes(self) -> tuple[float, float]:
        """Return the smallest and the largest N that can spend the budget: all data at all epochs, and one token.

        Raises
        ------
        BadInput
            If the budget pays for less than one token through one parameter.
        """
        ends = self.each(np.array([-np.inf, np.inf]))
        largest = self.flops / (float(ends[1]) * (1.0 + self.served / 3.0))
        least = self.flops / (float(ends[0]) * (self.d_max * self.e_max + self.served / 3.0))
        least = max(least, 1.0)
        if largest <= least * (1.0 + 1e-9):
            raise BadInput(f"`flops` {self.flops:g} is too small a budget: it pays for no training; give more")
        return least, largest

    @property
    def runs_out(self) -> bool:
        """Whether the smallest model that `sizes` names is one that has used all data at all epochs."""
        most = self.d_max * self.e_max + self.served / 3.0
        return (
            math.isfinite(self.d_max * self.e_max) and self.flops / (float(self.each(np.array(-np.inf))) * most) > 1.0
        )

    def split(self, log_n: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return unique data D and epochs E for model sizes, all arrays broadcasting.

        Parameters
        ----------
        log_n
            Logarithms of N.
        share
            From 0, as few epochs as the unique data allow, to 1, as many epochs as are allowed.
        """
        seen = self.flops / (self.each(log_n) * np.exp(log_n)) - self.served / 3.0
        seen = np.clip(seen, 1.0, self.d_max * self.e_max)
        fewest = np.maximum(seen / self.d_max, 1.0)
        most = np.maximum(np.minimum(seen, self.e_max), fewest)
        epochs = fewest if not np.any(share) else fewest ** (1.0 - share) * most**share
        return seen / epochs, epochs
