"""What one worker would do after a chain of stages if it went on along the longest path."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.execution.stage_scheduler import StageScheduler
from orchestrator.execution.stage_status import Status
from orchestrator.planning.tree import Stage


def ahead(scheduler: StageScheduler, chain: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages that wait for a chain, one after the other: of several children the longest path."""
    tree, found, last = scheduler.tree, list[Stage](), chain[-1]
    while True:
        below = [
            child
            for child in tree.children.get(last.id, ())
            if scheduler.status(child.id) is Status.WAITING and tree.follows(child, chain[0])
        ]
        if not below:
            return tuple(found)
        last = max(below, key=lambda child: scheduler.remaining_s[child.id])
        found.append(last)
