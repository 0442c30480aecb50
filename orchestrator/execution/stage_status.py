"""Where a stage of a running sweep stands."""

from __future__ import annotations

from enum import Enum
from typing import Final


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
