"""``keep:`` — whose final weights stay in the store."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from orchestrator.spec.options import Options
from orchestrator.spec.quantities import PositiveCount


class Top(Options):
    """Of each task the cells with the lowest validation loss."""

    top: PositiveCount = Field(le=1_000_000, description="How many cells of each task.")


#: ``best`` is ``{top: 1}``.
Keep: TypeAlias = Literal["none", "best", "all"] | Top


def most_kept(keep: Keep) -> int | None:
    """Return how many cells of a task are kept; ``None``: all of them."""
    if isinstance(keep, Top):
        return keep.top
    return {"none": 0, "best": 1, "all": None}[keep]
