"""Rows as laws see them: logarithms without units; and how to come back to units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray, Mask

LogAxes = Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to fit: logarithms of axes and loss, each centred so that no unit is left in them.

    Parameters
    ----------
    log_axes
        Centred log of each axis, shape (rows,).
    log_loss
        Centred log of the loss, shape (rows,); (B, rows) where each of B weightings has a loss of its own.
    weights
        What each row counts for, shape (rows,), mean 1; None: all alike.
    """

    log_axes: dict[str, FloatArray]
    log_loss: FloatArray
    weights: FloatArray | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.log_loss.shape[-1])

    def part(self, rows: Mask | NDArray[np.intp]) -> Sample:
        """Return the sample of some rows (mask or indices)."""
        weights = None if self.weights is None else self.weights[rows]
        return Sample({k: v[rows] for k, v in self.log_axes.items()}, self.log_loss[rows], weights)


@dataclass(frozen=True, slots=True)
class Units:
    """What was divided out of axes and loss, as logarithms."""

    axes: dict[str, float]
    loss: float


def centred(axes: Mapping[str, FloatArray], loss: FloatArray) -> tuple[Sample, Units]:
    """Centre the logs of axes (at their mean) and loss (at its median); data seen and unique data share a unit."""
    log_axes = {name: np.log(values) for name, values in axes.items()}
    units = {name: float(values.mean()) for name, values in log_axes.items()}
    if "unique_d" in units:
        units["unique_d"] = units["d"]
    log_loss = np.log(loss)
    middle = float(np.median(log_loss))
    sample = Sample({name: values - units[name] for name, values in log_axes.items()}, log_loss - middle)
    return sample, Units(units, middle)
