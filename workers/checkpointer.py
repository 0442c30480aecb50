"""Keeps states where a lost worker, node or driver doesn't take them along (I6)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.planning.tree import Stage
from orchestrator.store.checkpoints import Checkpoints


@dataclass
class Keeper:
    """Checkpoints of one worker's stages.

    Parameters
    ----------
    checkpoints
        Where they lie.
    pack, unpack
        The engine's way of turning a state into bytes and back.
    interval_s
        Most training time that a lost worker may cost; infinite on ranks that keep nothing.
    """

    checkpoints: Checkpoints
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]
    interval_s: float = math.inf
    _due_s: float = math.inf
    _kept: list[str] = field(default_factory=list)

    def start(self, spent_s: float) -> None:
        """Begin a chain of stages on a path that has trained for so long since it was last kept."""
        self._due_s = time.monotonic() + self.interval_s - spent_s
        self._kept = []

    @property
    def due(self) -> bool:
        """True when an interval has passed since the path was last kept."""
        return time.monotonic() >= self._due_s

    @property
    def kept(self) -> tuple[str, ...]:
        """Ids of the stages that were kept since the start."""
        return tuple(dict.fromkeys(self._kept))

    def keep(self, stage: Stage, state: Any) -> None:
        """Write the state of a stage, begun or done, in the place of what it kept before."""
        self.checkpoints.save(stage.id, self.pack(state))
        self._kept.append(stage.id)
        self._due_s = time.monotonic() + self.interval_s

    def found(self, stage_id: str) -> Any | None:
        """Return what was last kept of a stage, or ``None``.

        Raises
        ------
        ValueError
            If it is damaged; it is dropped, so that the next attempt does without.
        """
        data = self.checkpoints.load(stage_id)
        if data is None:
            return None
        try:
            return self.unpack(data)
        except ValueError:
            self.checkpoints.drop(stage_id)
            raise
