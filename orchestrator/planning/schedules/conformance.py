"""What every schedule promises, tried on many lengths; it runs on schedules of other packages, too.

>>> from orchestrator.planning.schedules.conformance import broken_promises
>>> from orchestrator.planning.schedules.wsd import WarmupStableDecay
>>> broken_promises(WarmupStableDecay())
[]
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from orchestrator.planning.promises import first_cases
from orchestrator.planning.schedules.schedule import SCHEDULE_KEYS, Schedule

#: Lengths of cells in steps: every short one, where shares of the steps are rounded most, and some long ones.
LENGTHS = (*range(1, 41), 100, 1_000, 4_097)


@dataclass(frozen=True)
class _Keys:
    cooldown_fraction: float = 0.2
    milestones: tuple[float, ...] = (0.5, 0.75)
    decay_factor: float = 0.1


#: Settings to try, each other than the first in one key.
_SETTINGS = {
    "cooldown_fraction": (0.01, 0.5, 0.99),
    "milestones": ((0.3,), (0.1, 0.2, 0.9)),
    "decay_factor": (0.01, 0.9),
}


def broken_promises(schedule: Schedule) -> list[str]:
    """Return a sentence for each promise of :class:`~orchestrator.planning.schedules.schedule.Schedule` that is broken.

    Only the first case of each is told.
    """
    found = [*_of_declarations(schedule)]
    for keys in _settings():
        for length in LENGTHS:
            found += _of_rates(schedule, keys, length)
            found += _of_ending(schedule, keys, length)
    return first_cases([*found, *_of_keys(schedule)])


def _settings() -> Iterator[_Keys]:
    yield _Keys()
    for key, values in _SETTINGS.items():
        for value in values:
            yield replace(_Keys(), **{key: value})  # type: ignore[arg-type]


def _of_declarations(schedule: Schedule) -> Iterator[str]:
    if not set(schedule.uses) <= set(SCHEDULE_KEYS):
        yield f"uses names keys of train that a schedule may read: {schedule.uses}"
    if schedule.ending not in ("cooldown", "merge", "nothing"):
        yield f"ending is cooldown, merge or nothing: {schedule.ending!r}"
    if schedule.ending != "nothing" and not schedule.shares:
        yield f"only cells that share a trunk have an ending of their own: {schedule.ending}"


def _of_rates(schedule: Schedule, keys: _Keys, length: int) -> Iterator[str]:
    rates = [schedule.rate(keys, step, length) for step in range(length)]
    wrong = [(step, rate) for step, rate in enumerate(rates) if not (math.isfinite(rate) and 0 <= rate <= 1)]
    if wrong:
        yield f"rates lie between 0 and 1: {wrong[0][1]} at step {wrong[0][0]} of {length}"
    if rates != [schedule.rate(keys, step, length) for step in range(length)]:
        yield f"the same step has the same rate: other at a second call, of {length} steps"
    fork = schedule.fork_step(keys, length)
    moved = [step for step, rate in enumerate(rates[: max(0, fork)]) if rate != 1]
    if schedule.shares and moved:
        yield f"before the fork the rate is 1: {rates[moved[0]]} at step {moved[0]} of {length}, which forks at {fork}"


def _of_ending(schedule: Schedule, keys: _Keys, length: int) -> Iterator[str]:
    fork, snapshots = schedule.fork_step(keys, length), schedule.snapshot_steps(keys, length)
    if not 0 <= fork <= length or not isinstance(fork, int):
        yield f"a fork is a step of the cell: {fork} of {length}"
    if (fork < length) != (schedule.ending == "cooldown"):
        yield f"a cooldown, and it alone, has steps after the fork: fork at {fork} of {length}, {schedule.ending}"
    if bool(snapshots) != (schedule.ending == "merge"):
        yield f"a merge, and it alone, has snapshots: {len(snapshots)} in {length} steps, {schedule.ending}"
    if snapshots:
        rising = all(a < b for a, b in pairwise(snapshots))
        if not rising or snapshots[0] < 1 or snapshots[-1] != length:
            yield f"snapshots rise, from 1 at least to the cell's end: {snapshots} of {length}"


def _of_keys(schedule: Schedule) -> Iterator[str]:
    for key in set(SCHEDULE_KEYS) - set(schedule.uses):
        for value in _SETTINGS[key]:
            other = replace(_Keys(), **{key: value})  # type: ignore[arg-type]
            if any(_answers(schedule, other, length) != _answers(schedule, _Keys(), length) for length in LENGTHS):
                yield f"what is read is named in uses: {key} changes the schedule"


def _answers(schedule: Schedule, keys: _Keys, length: int) -> object:
    rates = [schedule.rate(keys, step, length) for step in range(length)]
    return rates, schedule.fork_step(keys, length), schedule.snapshot_steps(keys, length)
