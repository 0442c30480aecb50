"""The seam behind which a learning-rate schedule stands."""

from __future__ import annotations

from typing import Literal, Protocol

from orchestrator.spec.registries import SCHEDULES

#: Keys of ``train:`` that schedules may read, in the order in which warnings name those that have no effect.
SCHEDULE_KEYS = ("milestones", "decay_factor", "cooldown_fraction")


class ScheduleKeys(Protocol):
    """What a schedule may read of a recipe, as ``train:`` has it.

    What every schedule has in common is not among it: the peak rate, and a linear warmup over absolute steps that
    multiplies the rest, so that cells of different length share their beginning (I3).
    """

    @property
    def cooldown_fraction(self) -> float:
        """Last part of the steps, between 0 and 1."""

    @property
    def milestones(self) -> tuple[float, ...]:
        """Fractions of the steps, rising."""

    @property
    def decay_factor(self) -> float:
        """What the rate is multiplied by, between 0 and 1."""


class Schedule(Protocol):
    """A learning-rate schedule.

    Guarantees: pure functions of their arguments, which read no other keys than ``uses``; a rate lies between 0 and 1;
    under one that shares, the rate is 1 at every step before the fork, whatever the cell's length, and one that
    doesn't share never forks. :mod:`orchestrator.planning.schedules.conformance` tries all of it.
    """

    @property
    def shares(self) -> bool:
        """Whether cells of different length have their steps before the fork in common."""

    @property
    def ending(self) -> Literal["cooldown", "merge", "nothing"]:
        """What a cell has of its own after the trunk: steps at a falling rate, the mean of snapshots, or nothing."""

    @property
    def uses(self) -> tuple[str, ...]:
        """Which of ``SCHEDULE_KEYS`` it reads; of the others that a sweep sets, the plan says they have no effect."""

    def rate(self, keys: ScheduleKeys, step: int, total_steps: int) -> float:
        """Return the share of the peak rate at a step of a cell.

        Parameters
        ----------
        step
            Optimiser step, counted from 0.
        total_steps
            Steps of the cell.
        """

    def fork_step(self, keys: ScheduleKeys, total_steps: int) -> int:
        """Return the step at which a cell leaves the trunk; ``total_steps`` where it has no cooldown."""

    def snapshot_steps(self, keys: ScheduleKeys, total_steps: int) -> tuple[int, ...]:
        """Return after how many steps a snapshot to be merged is taken: rising, the last one at the cell's end.

        They depend on the cell's own length alone, so it doesn't matter which other cells share its trunk. Without a
        merge there are none.
        """


def schedule_named(name: str) -> Schedule:
    """Return the schedule of a registry name.

    Raises
    ------
    BadInput
        If there is none of that name.
    """
    found: Schedule = SCHEDULES.load(name)()
    return found
