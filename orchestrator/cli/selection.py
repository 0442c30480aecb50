"""The flags by which `run` and `submit` choose cells, and what they ask for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.errors import BadInput

#: Share of the grid's FLOPs that a selection spends where none is named.
BUDGET_FRACTION = 0.1


class Selection(StrEnum):
    """Which cells of a grid are trained."""

    grid = "grid"
    active = "active"


Select = Annotated[
    Selection, typer.Option("--select", help="active: cells are chosen by what they tell for what they cost.")
]
BudgetFraction = Annotated[
    float | None,
    typer.Option("--budget-fraction", metavar="F", help="With active: share of the grid's FLOPs; default 0.1."),
]


def fraction_of(select: Selection, fraction: float | None) -> float | None:
    """Return the share of the FLOPs that a selection may spend; None for the whole grid.

    Raises
    ------
    BadInput
        If a fraction is named without a selection.
    """
    if select is Selection.grid:
        if fraction is not None:
            raise BadInput("--budget-fraction belongs to --select active: add it, or leave the fraction out")
        return None
    return BUDGET_FRACTION if fraction is None else fraction
