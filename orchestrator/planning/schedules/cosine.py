"""Half a cosine from the peak down to a tenth of it (Hoffmann et al. 2022, section 3.1 and figure A1)."""

from __future__ import annotations

import math
from typing import Literal

from orchestrator.planning.schedules.schedule import ScheduleKeys

#: Share of the peak rate at which it ends.
FLOOR = 0.1


class Cosine:
    """The rate depends on a cell's length from its first step, so each is trained alone."""

    shares = False
    ending: Literal["nothing"] = "nothing"
    uses = ()

    @staticmethod
    def rate(keys: ScheduleKeys, step: int, total_steps: int) -> float:
        """Return the cosine."""
        return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * (step / total_steps)))

    @staticmethod
    def fork_step(keys: ScheduleKeys, total_steps: int) -> int:
        """Return the end."""
        return total_steps

    @staticmethod
    def snapshot_steps(keys: ScheduleKeys, total_steps: int) -> tuple[int, ...]:
        """Return none."""
        return ()
