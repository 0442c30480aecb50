"""How many units of a model stay, and what share of the weights that leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.planning.family import UnitGroup

#: Difference from the density asked for, as a share of it, beyond which it is said.
NEAR = 0.1


def units_kept(units: int, density: float) -> int:
    """Return how many units of a group stay."""
    return max(1, round(density * units))


def density_left(density: float, weights: Sequence[tuple[str, tuple[int, ...]]], groups: Sequence[UnitGroup]) -> float:
    """Return the share of weights that is left where each group keeps such a share of its units."""
    share = dict.fromkeys((name for name, _ in weights), 1.0)
    for group in groups:
        for name, _, _ in group.members:
            if name in share:
                share[name] *= units_kept(group.units, density) / group.units
    sizes = {name: math.prod(size) for name, size in weights}
    return sum(share[name] * size for name, size in sizes.items()) / sum(sizes.values())


def shortfall(asked: float, left: float, where: str = "") -> list[str]:
    """Return a sentence where a share of weights is left that is far from what was asked for."""
    if abs(left - asked) <= NEAR * asked:
        return []
    return [
        f"structured, density {asked:g} leaves {left:.2g} of the weights{where}: whole units are taken, "
        "one of each group stays, and what is no unit stays too"
    ]
