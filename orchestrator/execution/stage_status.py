"""Where a stage of a running sweep stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Final

from orchestrator.execution.estimates import Estimates
from orchestrator.planning.tree import Stage, StageTree


class Status(Enum):
    """Where a stage stands."""

    DORMANT = "not wanted yet"
    WAITING = "its parent's state is not there yet"
    HELD = "its retry is not due yet"
    READY = "can be sent"
    IN_FLIGHT = "was sent"
    DONE = "done, or led to by nothing that is left to do"
    FAILED = "failed, or hangs on one that did"


#: Stages that are still to be done.
OPEN: Final = frozenset({Status.WAITING, Status.HELD, Status.READY, Status.IN_FLIGHT})
#: Stages that will need their parent's state.
ASKING: Final = OPEN | {Status.DORMANT}


class Statuses:
    """Where each stage of a tree stands, how many stand where, and that what is open is what time is estimated for.

    Parameters
    ----------
    estimates
        Counts all stages of the tree as open so far.
    first
        Where each stands at the start.
    """

    def __init__(self, tree: StageTree, estimates: Estimates, first: Mapping[str, Status]) -> None:
        self._estimates, self._of, self.count = estimates, dict(first), Counter(first.values())
        estimates.close([stage for stage in tree if first[stage.id] not in OPEN])

    def __getitem__(self, stage_id: str) -> Status:
        return self._of[stage_id]

    def set(self, stage: Stage, status: Status) -> None:
        """Let a stage stand elsewhere."""
        before = self._of[stage.id]
        self._of[stage.id] = status
        self.count[before] -= 1
        self.count[status] += 1
        if (before in OPEN) and (status not in OPEN):
            self._estimates.close([stage])
        elif (before not in OPEN) and (status in OPEN):
            self._estimates.reopen([stage])
