"""What the driver knows of a running sweep: which stages are done, ready, in flight or lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.planning.cost import Rate, estimate_s
from orchestrator.planning.priority import ReadyQueue
from orchestrator.planning.tree import Stage, StageTree


@dataclass
class Ledger:
    """Bookkeeping over a stage tree; it holds nothing that can't be rebuilt from YAML and store (I4).

    Stages come in the order of :class:`ReadyQueue`. A state is kept until the last child that needs it is done,
    since a child may have to be tried again.
    """

    tree: StageTree
    rate: Rate
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)
    states: dict[str, Any] = field(default_factory=dict)
    flops_spent: int = 0
    _waiting: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.estimates_s = {stage.id: estimate_s(stage, self.rate) for stage in self.tree}
        self._ready = ReadyQueue(self.tree.remaining_s(self.estimates_s))
        self._left_s = sum(self.estimates_s.values())
        self.measured_s = self._expected_s = 0.0
        self._waiting.update({s.id: len(self.tree.children.get(s.id, ())) for s in self.tree})
        for stage in self.tree.children[None]:
            self.push(stage)

    @property
    def unfinished(self) -> int:
        """Stages neither done nor failed."""
        return len(self.tree) - len(self.done) - len(self.failed)

    def push(self, stage: Stage) -> None:
        """Make a stage ready to be sent."""
        self._ready.push(stage)

    def pop(self, workers: int) -> Stage | None:
        """Return the ready stage that goes next on so many workers, or ``None``."""
        return self._ready.pop(self._left_s, workers)

    def finish(self, chain: Sequence[Stage], state: Any, seconds: float) -> None:
        """Note a chain of stages as done, keep its last state for the children and make them ready."""
        expected = sum(self.estimates_s[stage.id] for stage in chain)
        self.done.update(stage.id for stage in chain)
        self.flops_spent += sum(stage.flops for stage in chain)
        self.measured_s += seconds
        self._expected_s += expected
        self._left_s -= expected
        last = chain[-1]
        if self._waiting[last.id]:
            self.states[last.id] = state
        for child in self.tree.children.get(last.id, ()):
            self.push(child)
        self._release(chain[0].parent)

    def fail(self, stage: Stage) -> list[Stage]:
        """Note a stage and all that descends from it as failed; return them."""
        lost = self.tree.below(stage.id)
        self.failed.update(s.id for s in lost)
        self._left_s -= sum(self.estimates_s[s.id] for s in lost)
        self._release(stage.parent)
        return lost

    def eta_s(self, workers: int) -> float:
        """Return the estimated seconds to the end, corrected by how long finished stages really took."""
        correction = self.measured_s / self._expected_s if self._expected_s else 1.0
        return correction * max(0.0, self._left_s) / max(1, workers)

    def _release(self, parent: str | None) -> None:
        if parent is None:
            return
        self._waiting[parent] -= 1
        if not self._waiting[parent]:
            self.states.pop(parent, None)
