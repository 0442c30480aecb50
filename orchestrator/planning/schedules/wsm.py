"""Warmup-stable-merge (Tian et al. 2025, arXiv 2507.17634): constant; a mean of snapshots replaces the decay."""

from __future__ import annotations

from typing import Literal

from orchestrator.planning.schedules.schedule import ScheduleKeys

#: Snapshots that are merged; more change the loss by less than 0.0005 (docs/families.md).
MERGED_SNAPSHOTS = 16


class WarmupStableMerge:
    """Cells share all of their steps; a cell's weights are the mean of snapshots in its last window."""

    shares = True
    ending: Literal["merge"] = "merge"
    uses = ("cooldown_fraction",)

    @staticmethod
    def rate(keys: ScheduleKeys, step: int, total_steps: int) -> float:
        """Return 1."""
        return 1.0

    @staticmethod
    def fork_step(keys: ScheduleKeys, total_steps: int) -> int:
        """Return the end: a merge takes no step."""
        return total_steps

    @staticmethod
    def snapshot_steps(keys: ScheduleKeys, total_steps: int) -> tuple[int, ...]:
        """Return steps evenly over the last ``cooldown_fraction`` of the cell."""
        window = max(1, round(keys.cooldown_fraction * total_steps))
        count = min(MERGED_SNAPSHOTS, window)
        return tuple(sorted(total_steps - k * window // count for k in range(count)))
