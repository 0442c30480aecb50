"""Which ready stage goes first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.planning.tree import Stage

#: A path is urgent when it takes more than this share of what each worker has left to do.
URGENT_SHARE = 0.5


@dataclass
class ReadyQueue:
    """Ready stages: urgent paths first, longest before shorter; else the stage that is nearest to a row.

    Longest-path-first alone would be good for the makespan, but it finishes all trunks before the first cell, and an
    interruption would lose them all. A path gives way to rows only while it can't become the one that is waited for.

    Parameters
    ----------
    remaining_s
        Seconds of the longest path from each stage's start to a leaf, by stage id.
    """

    remaining_s: Mapping[str, float]
    _longest: list[tuple[float, str]] = field(default_factory=list)
    _shortest: list[tuple[float, str]] = field(default_factory=list)
    _ready: dict[str, Stage] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._ready)

    def push(self, stage: Stage) -> None:
        """Add a stage that can be sent."""
        self._ready[stage.id] = stage
        heapq.heappush(self._longest, (-self.remaining_s[stage.id], stage.id))
        heapq.heappush(self._shortest, (self.remaining_s[stage.id], stage.id))

    def __iter__(self) -> Iterator[Stage]:
        return iter(self._ready.values())

    def remove(self, stage: Stage) -> None:
        """Take a given stage."""
        del self._ready[stage.id]

    def reorder(self, remaining_s: Mapping[str, float]) -> None:
        """Take other durations of the paths from now on."""
        self.remaining_s = remaining_s
        ready, self._ready, self._longest, self._shortest = self._ready.values(), {}, [], []
        for stage in ready:
            self.push(stage)

    def pop(self, left_s: float, workers: int) -> Stage | None:
        """Take the next stage, or ``None``.

        Parameters
        ----------
        left_s
            Work that is not finished, over all stages.
        workers
            Workers that share it.
        """
        for heap in (self._longest, self._shortest):
            while heap and heap[0][1] not in self._ready:
                heapq.heappop(heap)
        if not self._ready:
            return None
        longest, stage_id = self._longest[0]
        if -longest < URGENT_SHARE * left_s / workers:
            stage_id = self._shortest[0][1]
        return self._ready.pop(stage_id)
