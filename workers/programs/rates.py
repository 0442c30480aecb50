"""The learning rate of a path as knots between which it is linear, so that a program needs no schedule of its own."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from orchestrator.planning.recipe import Recipe

#: Largest distance, in shares of the peak rate, between a schedule and the lines between its knots.
TOLERANCE: Final = 1e-9


@lru_cache(maxsize=64)
def rate_knots(recipe: Recipe, total_steps: int | None, stop_step: int) -> tuple[tuple[int, float], ...]:
    """Return ``(step, share of the peak rate)``: linear between, constant outside.

    The knots of a cell depend on its own length alone, not on where a process begins, and a trunk's are the first of
    those of every cell that shares it; so a step has the same rate in whatever process it is done.
    """
    factors = [recipe.rate_factor(step, total_steps) for step in range(max(1, stop_step))]
    knots = [(0, factors[0])]
    begin, k = 0, 1
    while k < len(factors):
        slope = factors[begin + 1] - factors[begin]
        if abs(factors[k] - (factors[begin] + slope * (k - begin))) > TOLERANCE:
            begin = k - 1
            knots.append((begin, factors[begin]))
        else:
            k += 1
    if len(factors) - 1 > begin:
        knots.append((len(factors) - 1, factors[-1]))
    return tuple(knots)
