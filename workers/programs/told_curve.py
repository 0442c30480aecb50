"""The curve of a program's stage, out of the lines of metrics that it writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from orchestrator.planning.tree import Stage
from orchestrator.programs.exchange import finite
from workers.curves import COLUMNS, point_steps

#: What a line may say beside its step and its loss.
MORE = ("val_loss", "learning_rate", "gradient_norm")


class ToldCurve:
    """Takes the losses of one stage as they come, and keeps a point where one of our own stages has one.

    A program need not tell of each step, and one that was started anew tells of some twice: those count once. Steps
    that a process told of before its worker was lost have no points.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._due = iter(point_steps(stage.start_step, stage.stop_step))
        self._next = next(self._due)
        self._points: list[list[float]] = []
        self._since: list[float] = []
        self._step = stage.start_step
        self._last: list[float] = []

    def add(self, step: int, loss: float, line: Mapping[str, Any], seconds: float) -> None:
        """Take a line of metrics; one of another stage, or of a step that was told of, is passed over."""
        if not self._step < step <= self.stage.stop_step:
            return
        self._step = step
        self._since.append(loss)
        more = [value if (value := finite(line.get(name))) is not None else math.nan for name in MORE]
        self._last = [step, *more, seconds]
        if step >= self._next:
            self._close_point()
            while self._next <= step:
                self._next = next(self._due, self.stage.stop_step + 1)

    def points(self) -> np.ndarray:
        """Return the points, as `CurveRecorder.points` does."""
        if self._since:
            self._close_point()
        return np.array(self._points, np.float64).reshape(-1, len(COLUMNS))

    def _close_point(self) -> None:
        step, val_loss, rate, norm, seconds = self._last
        self._points.append([step, sum(self._since) / len(self._since), val_loss, rate, norm, seconds])
        self._since = []
