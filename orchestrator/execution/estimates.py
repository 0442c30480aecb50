"""How long stages will take, corrected by how long they took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from orchestrator.planning.cost import Rate, estimate_s
from orchestrator.planning.family import ModelShape
from orchestrator.planning.tree import Stage, StageTree

#: Paths are ordered anew when a correction differs by more than this share from the one that they were ordered by.
WORTH_REORDERING = 0.25


class Estimates:
    """Seconds of every stage of a tree.

    Each model size has its own correction, measured over planned seconds; a size of which nothing is measured yet
    takes that of all sizes together.

    Attributes
    ----------
    stages_s
        Seconds by stage id, as corrected when paths were last ordered.
    measured_s
        Seconds that finished stages took.
    """

    def __init__(self, tree: StageTree, rate: Rate) -> None:
        self.tree = tree
        self.measured_s = 0.0
        self._planned_s = {stage.id: estimate_s(stage, rate) for stage in tree}
        self.stages_s = dict(self._planned_s)
        self._left_s: defaultdict[ModelShape, float] = defaultdict(float)
        self._done_s: defaultdict[ModelShape, float] = defaultdict(float)
        self._took_s: defaultdict[ModelShape, float] = defaultdict(float)
        for stage in tree:
            self._left_s[stage.shape] += self._planned_s[stage.id]
        self._in_use = dict.fromkeys(self._left_s, 1.0)

    @property
    def left_s(self) -> float:
        """Seconds of all stages that are not closed, by all that was measured so far."""
        return sum(self._factor(shape) * seconds for shape, seconds in self._left_s.items())

    def close(self, stages: Iterable[Stage]) -> None:
        """Leave stages out of what is left."""
        for stage in stages:
            self._left_s[stage.shape] -= self._planned_s[stage.id]

    def reopen(self, stages: Iterable[Stage]) -> None:
        """Take stages that were closed back into what is left."""
        for stage in stages:
            self._left_s[stage.shape] += self._planned_s[stage.id]

    def learn(self, chain: Sequence[Stage], seconds: float) -> bool:
        """Note how long a chain of stages took; return whether ``stages_s`` has changed."""
        shape = chain[0].shape
        self._took_s[shape] += seconds
        self._done_s[shape] += sum(self._planned_s[stage.id] for stage in chain)
        self.measured_s += seconds
        factors = {known: self._factor(known) for known in self._in_use}
        if all(abs(factors[known] / used - 1) <= WORTH_REORDERING for known, used in self._in_use.items()):
            return False
        self._in_use = factors
        self.stages_s = {stage.id: factors[stage.shape] * self._planned_s[stage.id] for stage in self.tree}
        return True

    def _factor(self, shape: ModelShape) -> float:
        if self._done_s[shape]:
            return self._took_s[shape] / self._done_s[shape]
        planned = sum(self._done_s.values())
        return self.measured_s / planned if planned else 1.0
