"""The peak rate to the end."""

from __future__ import annotations

from typing import Literal

from orchestrator.planning.schedules.schedule import ScheduleKeys


class Constant:
    """Cells share all of their steps; a cell is the trunk at its end."""

    shares = True
    ending: Literal["nothing"] = "nothing"
    uses = ()

    @staticmethod
    def rate(keys: ScheduleKeys, step: int, total_steps: int) -> float:
        """Return 1."""
        return 1.0

    @staticmethod
    def fork_step(keys: ScheduleKeys, total_steps: int) -> int:
        """Return the end."""
        return total_steps

    @staticmethod
    def snapshot_steps(keys: ScheduleKeys, total_steps: int) -> tuple[int, ...]:
        """Return none."""
        return ()
