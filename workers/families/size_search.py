"""The search for the buildable size nearest to a requested N."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.errors import UnbuildableSize


@dataclass(frozen=True)
class Line:
    """One line of a family's lattice: widths ``step``, ``2 step``, … up to ``widest``, each with its own depth.

    Parameters
    ----------
    step, widest
        Spacing and largest value of the widths.
    depth
        Depth at a width; must not fall as the width grows.
    """

    step: int
    widest: int
    depth: Callable[[int], int]

    def nearest(self, params: int, count: Callable[[int, int], int]) -> tuple[int, int]:
        """Return the (width, depth) on this line whose ``count(width, depth)`` is nearest to ``params``."""
        widths = range(self.step, self.widest + 1, self.step)
        above = bisect_left(widths, params, key=lambda width: count(width, self.depth(width)))
        near = [widths[i] for i in (above - 1, above) if 0 <= i < len(widths)]
        best = min(near, key=lambda width: abs(count(width, self.depth(width)) - params))
        return best, self.depth(best)


def nearest_size(
    params: int, lines: Sequence[Line], count: Callable[[int, int], int], *, tolerance: float, family: str
) -> tuple[int, int]:
    """Return the (width, depth) to build for ``params`` parameters.

    The lines stand in order of preference. The first that comes within ``tolerance`` of the request answers, so that
    shapes along a grid stay alike; if none does, the nearest point of all lines. The counted N grows monotonically
    with the request, because the lines themselves don't depend on it.

    Raises
    ------
    UnbuildableSize
        If every point is off by a factor of two or more.
    """
    points = []
    for line in lines:
        point = line.nearest(params, count)
        if abs(count(*point) - params) <= tolerance * params:
            return point
        points.append(point)
    best = min(points, key=lambda point: abs(count(*point) - params))
    if not params / 2 < count(*best) < params * 2:
        side = "smallest" if count(*best) > params else "largest"
        raise UnbuildableSize(
            f"the {side} {family} that can be built here has {count(*best):,} parameters, not about {params:,}; "
            "take another size"
        )
    return best
