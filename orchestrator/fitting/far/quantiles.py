"""Quantiles of symmetric intervals."""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

_NORMAL: Final = NormalDist()


def over_ninety(level: float) -> float:
    """Return how wide a normal interval of a level is over one of 90 %."""
    return _NORMAL.inv_cdf((1 + level) / 2) / _NORMAL.inv_cdf(0.95)


def student_quantile(level: float, free: int) -> float:
    """Return the half-width of an interval of Student's t with so many degrees of freedom."""
    from scipy.special import stdtrit  # here, so that importing the fitter loads no scipy

    return float(stdtrit(free, (1 + level) / 2))
