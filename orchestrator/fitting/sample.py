"""From rows in their own units to a sample without units, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.law import Sample


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
