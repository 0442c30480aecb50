"""Steps down: at each milestone, a share of a cell's steps, the rate is multiplied by a factor."""

from __future__ import annotations

from typing import Literal

from orchestrator.planning.schedules.schedule import ScheduleKeys


class StepDown:
    """Milestones lie elsewhere for each length, so each cell is trained alone."""

    shares = False
    ending: Literal["nothing"] = "nothing"
    uses = ("milestones", "decay_factor")

    @staticmethod
    def rate(keys: ScheduleKeys, step: int, total_steps: int) -> float:
        """Return the factor to the power of the milestones that have passed."""
        passed = sum(step / total_steps >= milestone for milestone in keys.milestones)
        return float(keys.decay_factor**passed)

    @staticmethod
    def fork_step(keys: ScheduleKeys, total_steps: int) -> int:
        """Return the end."""
        return total_steps

    @staticmethod
    def snapshot_steps(keys: ScheduleKeys, total_steps: int) -> tuple[int, ...]:
        """Return none."""
        return ()
