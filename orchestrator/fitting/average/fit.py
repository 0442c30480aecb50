"""The default answer as a fit beside those of the laws: `average`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.fitting.average.far import FarPredictor
from orchestrator.fitting.average.mean_of_laws import MeanOfLaws
from orchestrator.fitting.average.predictor import Columns
from orchestrator.fitting.axes import AXES, FloatArray
from orchestrator.fitting.caution import Caution
from orchestrator.fitting.check import QUALITIES, numeric_columns
from orchestrator.fitting.result import LawFit
from orchestrator.fitting.table_words import missing_column

AVERAGE: Final = "average"


@dataclass(frozen=True, kw_only=True)
class AverageFit(LawFit):
    """A fit that predicts, and leaves exponents to the laws: its ``params`` are those of the best single law.

    Parameters
    ----------
    predictor
        What predicts.
    params_of
        The law whose parameters stand here.
    """

    predictor: FarPredictor | MeanOfLaws = field(repr=False)
    params_of: str

    def predict(self, table: pa.Table) -> FloatArray:
        """Return the target of each row, shape (rows,); a quality is at most 1.

        Raises
        ------
        BadInput
            If a column that it needs is missing or holds anything but positive numbers.
        """
        log_loss = self.predictor.log_loss(self._columns(table))
        found: FloatArray = np.exp(-np.maximum(log_loss, 0.0)) if self.target in QUALITIES else np.exp(log_loss)
        return found

    def predict_interval(self, table: pa.Table, level: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Return the ends (lo, hi) of an interval for a new run's target, each of shape (rows,).

        It grows with distance, by the disagreement of what predicts and by its errors on dearer rows.

        Raises
        ------
        BadInput
            As ``predict``; also for a level outside (0, 1).
        """
        if not 0 < level < 1:
            raise BadInput(f"level {level!r}: must lie between 0 and 1, such as 0.9")
        columns = self._columns(table)
        log_loss, half = self.predictor.log_loss(columns), self.predictor.half_width(columns, level)
        if self.target in QUALITIES:
            lo, hi = np.exp(-np.maximum(log_loss + half, 0.0)), np.exp(-np.maximum(log_loss - half, 0.0))
        else:
            lo, hi = np.exp(log_loss - half), np.exp(log_loss + half)
        return lo, hi

    def cautions(self, table: pa.Table) -> list[Caution]:
        """Return what to know of predictions at these rows."""
        return self.predictor.cautions(self._columns(table))

    def facts(self) -> dict[str, Any]:
        """Return what the answer is made of, as a JSON-able dictionary."""
        return {**self.predictor.facts(), "params_of": self.params_of}

    def to_dict(self) -> dict[str, Any]:
        """Refuse: laws can be written down, the answer is made again from the rows.

        Raises
        ------
        BadInput
            Always.
        """
        raise BadInput(f"{self.law} can't be written down; keep the rows and fit again, or keep the fit of a law")

    def _columns(self, table: pa.Table) -> Columns:
        present = [name for name in AXES if name in table.column_names]
        for name in self.predictor.needs:
            if name not in present:
                raise BadInput(missing_column(table, name, "prediction"))
        found: Mapping[str, FloatArray] = numeric_columns(table, present)
        return found
