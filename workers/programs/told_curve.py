"""The curve of a program's stage, out of the lines of metrics that it writes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.planning.tree import Stage
from orchestrator.programs.exchange import finite
from workers.curves import COLUMNS, point_steps
from workers.programs.state import ProgramState

#: What a line may say beside its step and its loss.
MORE = ("val_loss", "learning_rate", "gradient_norm")
VAL_LOSS, SECONDS = COLUMNS.index("val_loss"), COLUMNS.index("seconds")


class ToldCurve:
    """Takes the losses of one stage as they come; has a point where our own stages have one and where one is scored.

    A program need not tell of each step, and one that was started anew tells of some twice: those count once.

    Parameters
    ----------
    began_s
        Seconds along the path from initialisation at which the stage begins.
    saved
        What an earlier process told up to the state that is gone on from, as :meth:`saved` returned it.
    """

    def __init__(self, stage: Stage, *, began_s: float, saved: Mapping[str, Any] | None = None) -> None:
        self.stage = stage
        self._began_s: float = saved["began_s"] if saved else began_s
        self._points: list[list[float]] = saved["points"] if saved else []
        #: What was told since the last of those points, a line after the other: a state may be older than the last one.
        self._lines = array("d", np.ravel(saved["lines"]) if saved else [])

    def add(self, step: int, loss: float, line: Mapping[str, Any], path_s: float) -> None:
        """Take a line of metrics; one of another stage, or of a step before the last, is passed over.

        Parameters
        ----------
        path_s
            Seconds along the path from initialisation.
        """
        if step <= self.stage.start_step:
            self._began_s = path_s  # the stage before it is at work still
        last = self._last()
        if step > self.stage.stop_step or step < last[0] or step == self.stage.start_step:
            return
        more = [value if (value := finite(line.get(name))) is not None else math.nan for name in MORE]
        if step > last[0]:
            self._lines.extend([step, loss, *more, max(last[SECONDS], path_s - self._began_s)])
        elif self._lines:  # what a program says later of the same step
            for k, value in enumerate(more, VAL_LOSS):
                if not math.isnan(value):
                    self._lines[k - len(COLUMNS)] = value

    def points(self, end_s: float = math.inf) -> np.ndarray:
        """Return the points, as `CurveRecorder.points` does; the last line that was told is one.

        Parameters
        ----------
        end_s
            Seconds along the path at which the stage ended; lines may be read later than that.
        """
        points, rest = self._drawn(self._table())
        found = np.array([*points, *([_point(rest)] if len(rest) else [])], np.float64).reshape(-1, len(COLUMNS))
        found[:, SECONDS] = np.minimum(found[:, SECONDS], end_s)
        return found

    def saved(self, step: int) -> dict[str, Any]:
        """Return what was told up to a step, JSON-able, to go on from."""
        table = self._table()
        points, rest = self._drawn(table[table[:, 0] <= step])
        return {"began_s": self._began_s, "points": points, "lines": rest.tolist()}

    def _last(self) -> list[float]:
        if self._lines:
            return list(self._lines[-len(COLUMNS) :])
        return self._points[-1] if self._points else [self.stage.start_step, *[0.0] * SECONDS]

    def _table(self) -> np.ndarray:
        return np.array(self._lines, np.float64).reshape(-1, len(COLUMNS))

    def _drawn(self, lines: np.ndarray) -> tuple[list[list[float]], np.ndarray]:
        """Return the points that some lines make with those before them, and the lines after the last point."""
        due = point_steps(self.stage.start_step, self.stage.stop_step)
        before = self._points[-1][0] if self._points else self.stage.start_step
        passed = np.searchsorted(due, [before, *lines[:, 0]], side="right")
        ends = np.flatnonzero((np.diff(passed) > 0) | np.isfinite(lines[:, VAL_LOSS])) + 1
        parts = np.split(lines, ends)
        return [*self._points, *map(_point, parts[:-1])], parts[-1]


def _point(lines: np.ndarray) -> list[float]:
    """Return the point of some lines: what the last one says, and the mean of their losses."""
    step, _, *more = lines[-1].tolist()
    return [step, float(lines[:, 1].mean()), *more]


def taken_up(known: dict[str, ToldCurve], path: Sequence[Stage], start: ProgramState) -> dict[str, ToldCurve]:
    """Return the curves of the stages that a process goes through, and note the new ones among those known.

    A stage that is gone on with in its middle has one only where its state holds what was told before.
    """
    for stage in path:
        inside = start.step > stage.start_step
        if stage.id not in known and stage.steps and (start.curve or not inside):
            known[stage.id] = ToldCurve(stage, began_s=start.wall_s, saved=start.curve if inside else None)
    return {stage.id: known[stage.id] for stage in path if stage.id in known}
