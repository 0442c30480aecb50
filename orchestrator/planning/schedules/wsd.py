"""Warmup-stable-decay (Hu et al. 2024; Hägele et al. 2024): constant, then linearly to zero over a cell's cooldown."""

from __future__ import annotations

from typing import Literal

from orchestrator.planning.schedules.schedule import ScheduleKeys


class WarmupStableDecay:
    """Cells share a trunk at the peak rate; each has a cooldown of its own."""

    shares = True
    ending: Literal["cooldown"] = "cooldown"
    uses = ("cooldown_fraction",)

    @staticmethod
    def rate(keys: ScheduleKeys, step: int, total_steps: int) -> float:
        """Return 1 up to the fork, then what falls to zero one step after the end."""
        fork = WarmupStableDecay.fork_step(keys, total_steps)
        return 1.0 if step < fork else (total_steps - step) / (total_steps - fork + 1)

    @staticmethod
    def fork_step(keys: ScheduleKeys, total_steps: int) -> int:
        """Return where the cooldown begins; it has at least one step."""
        return total_steps - max(1, round(keys.cooldown_fraction * total_steps))

    @staticmethod
    def snapshot_steps(keys: ScheduleKeys, total_steps: int) -> tuple[int, ...]:
        """Return none."""
        return ()
