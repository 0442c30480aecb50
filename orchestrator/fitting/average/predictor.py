"""What stands behind the default answer: the seam between it and the ways to predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.caution import Caution

Columns = Mapping[str, FloatArray]


class Predictor(Protocol):
    """A way to predict the log loss (of 1/quality for a quality) from a table's columns.

    Guarantees: pure and deterministic; every interval holds what it predicts itself; columns are as `law_axes` takes
    them, so that ``d`` beside ``e`` is unique data.
    """

    @property
    def kind(self) -> str:
        """Return how it predicts, in a few words."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the columns without which there is no prediction."""

    def log_loss(self, columns: Columns) -> FloatArray:
        """Return ln L of each row, shape (rows,)."""

    def half_width(self, columns: Columns, level: float) -> FloatArray:
        """Return the half-width of an interval of ln L for a new run at each row, shape (rows,)."""

    def cautions(self, columns: Columns) -> list[Caution]:
        """Return what to know of predictions at these rows: how far out they lie, and what may be wrong there."""

    def facts(self) -> dict[str, Any]:
        """Return what it is made of, as a JSON-able dictionary."""
