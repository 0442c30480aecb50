"""What a stop does with the states that lie in memory alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from orchestrator.execution.pool.protocol import Finished, Holding, Lost, Pool
from orchestrator.planning.tree import Stage

#: Longest wait for an event before the clock is looked at again.
TICK_S: Final = 0.25


def keep_states(
    pool: Pool,
    gangs: Sequence[str],
    states: Sequence[tuple[Stage, Holding, float]],
    until_s: float,
    say: Callable[[str], None],
) -> None:
    """Write states that unfinished cells hang on to the checkpoints, in their order, while there is time.

    Parameters
    ----------
    gangs
        Those that are idle; where there are none, nothing is kept.
    until_s
        When to give up, on the monotonic clock.
    say
        Tells a person what could not be kept.
    """
    if not gangs:
        return
    waited = {pool.keep(gangs[k % len(gangs)], stage, state): stage for k, (stage, state, _) in enumerate(states)}
    while waited and time.monotonic() < until_s:
        for event in pool.events(TICK_S):
            if isinstance(event, Finished) and event.ticket in waited:
                stage = waited.pop(event.ticket)
                if any(result.failure for result in event.results):
                    say(f"the state of stage {stage.id[:12]} could not be kept")
            elif isinstance(event, Lost):
                return
    if waited:
        say(f"{len(waited)} states could not be kept in time and will be trained again")
