"""Prediction by the mean of several laws, weighed by their errors on dearer rows, with smoothed residuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from orchestrator.fitting.average.predictor import Columns
from orchestrator.fitting.axes import AXES, FloatArray, training_cost, varies
from orchestrator.fitting.caution import Caution
from orchestrator.fitting.check import QUALITIES
from orchestrator.fitting.far.misfit import LocalMisfit
from orchestrator.fitting.far.quantiles import over_ninety
from orchestrator.fitting.ranking import Ahead
from orchestrator.fitting.result import LawFit

#: Power of the mean square error ahead with which a law's weight falls, as for the floors of the far answer.
SHARPNESS: Final = 0.65
#: Mean square errors below this are rounding.
LEAST_SQUARE: Final = 1e-16
MAD: Final = 1.4826
WORTH_SAYING: Final = 4.0


@dataclass(frozen=True, slots=True)
class MeanOfLaws:
    """The weighted mean of ln L over laws.

    Parameters
    ----------
    laws, weights
        Which, and what each counts for, sum 1.
    names
        Axes of the rows that vary.
    misfit
        How far rows near a point are missed.
    spread
        1.4826 · median |residual| of the mean.
    widening
        Half-width of a 90 % interval over √(disagreement² + spread²).
    dearest
        Largest n·d·e of the rows.
    """

    laws: tuple[LawFit, ...]
    weights: FloatArray
    names: tuple[str, ...]
    misfit: LocalMisfit
    spread: float
    widening: float
    dearest: float

    @classmethod
    def fitted(cls, laws: Sequence[LawFit], ahead: Sequence[Ahead], columns: Columns, loss: FloatArray) -> MeanOfLaws:
        """Return the mean of laws on rows, given each law's errors ahead by fold."""
        weights = _weights(ahead)
        names = tuple(axis for axis in AXES if axis in columns and varies(columns[axis]))
        fitted = np.array([_log_loss(law, columns) for law in laws])
        off = weights @ fitted - np.log(loss)
        spread = MAD * float(np.median(np.abs(off)))
        misfit = LocalMisfit.of(_places(columns, names), off)
        widening = _widening(ahead, weights, spread)
        dearest = float(training_cost(columns).max())
        return cls(tuple(laws), weights, names, misfit, spread, widening, dearest)

    @property
    def kind(self) -> str:
        """Return which laws it is the mean of."""
        shares = ", ".join(f"{law.law} {weight:.0%}" for law, weight in zip(self.laws, self.weights, strict=True))
        return f"mean of laws: {shares}" if len(self.laws) > 1 else f"law {self.laws[0].law}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Return every axis of its laws."""
        return tuple(dict.fromkeys(axis for law in self.laws for axis in law.axes if axis != "unique_d"))

    def log_loss(self, columns: Columns) -> FloatArray:
        """Return ln L of each row."""
        found: FloatArray = self.weights @ np.array([_log_loss(law, columns) for law in self.laws])
        return found

    def half_width(self, columns: Columns, level: float) -> FloatArray:
        """Return the half-width: of the laws' disagreement and misfit, and no less than their own intervals say."""
        fitted = np.array([_log_loss(law, columns) for law in self.laws])
        mean: FloatArray = self.weights @ fitted
        apart = self.weights @ (fitted - mean) ** 2
        wide = self.widening * np.sqrt(apart + self.spread**2)
        wide = over_ninety(level) * np.maximum(wide, self.misfit.at(_places(columns, self.names)))
        own = np.zeros(mean.size)
        for law, weight in zip(self.laws, self.weights, strict=True):
            if len(law.draws):
                low, high = np.log(law.predict_interval(_table(columns), level))
                own += weight * 0.5 * np.abs(high - low)
        half: FloatArray = np.maximum(wide, own)
        return half

    def cautions(self, columns: Columns) -> list[Caution]:
        """Return how far beyond the rows these lie."""
        beyond = float(training_cost(columns).max()) / self.dearest
        if beyond <= WORTH_SAYING:
            return []
        return [
            Caution(
                f"{beyond:.3g}× beyond the compute of the rows; the interval grows with it", "beyond", beyond=beyond
            )
        ]

    def table_cautions(self) -> list[Caution]:
        """Return nothing: each law has its own."""
        return []

    def facts(self) -> dict[str, Any]:
        """Return the laws and their weights."""
        weights = {law.law: float(weight) for law, weight in zip(self.laws, self.weights, strict=True)}
        return {"kind": self.kind, "weights": weights, "widening": self.widening}


def _weights(ahead: Sequence[Ahead]) -> FloatArray:
    """Return weights by the errors ahead, over the folds that all laws share; equal ones where there are none."""
    count = len(ahead)
    shared = [fold for fold in zip(*ahead, strict=True) if all(errors is not None for errors in fold)]
    if not shared or count == 1:
        return np.full(count, 1.0 / count)
    squares = [[np.log(max(float(np.mean(errors**2)), LEAST_SQUARE)) for errors in fold] for fold in shared]
    score = np.exp(-SHARPNESS * (np.mean(squares, axis=0) - np.mean(squares, axis=0).min()))
    found: FloatArray = score / score.sum()
    return found


def _widening(ahead: Sequence[Ahead], weights: FloatArray, spread: float) -> float:
    logs = [np.log(1.2)] * 2
    for fold in zip(*ahead, strict=True):
        if any(errors is None for errors in fold):
            continue
        errors = np.array(fold)
        mean = weights @ errors
        size = np.sqrt(weights @ (errors - mean) ** 2 + spread**2)
        logs.append(np.log(max(float(np.quantile(np.abs(mean) / np.maximum(size, 1e-9), 0.9)), 1e-6)))
    return float(np.exp(np.mean(logs)))


def _log_loss(law: LawFit, columns: Columns) -> FloatArray:
    predicted: FloatArray = np.log(law.predict(_table(columns)))
    return -predicted if law.target in QUALITIES else predicted


def _table(columns: Columns) -> pa.Table:
    return pa.table({name: columns[name] for name in AXES if name in columns})


def _places(columns: Columns, names: Sequence[str]) -> FloatArray:
    rows = next(iter(columns.values())).size
    return np.column_stack([np.log(columns.get(name, np.ones(rows))) for name in names] or [np.zeros(rows)])
