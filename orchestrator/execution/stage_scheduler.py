"""What the driver knows of a running sweep: which stages are done, ready, in flight or lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.execution.estimates import Estimates
from orchestrator.planning.cost import Rate
from orchestrator.planning.priority import ReadyQueue
from orchestrator.planning.tree import Role, Stage, StageTree

#: Chains that are trained as one batched model at most.
MOST_FUSED = 64


def seedless(stage: Stage) -> tuple[Any, ...]:
    """Return what a stage has in common with those of other seeds."""
    return (
        stage.kind,
        stage.shape,
        stage.recipe,
        stage.start_step,
        stage.stop_step,
        stage.stream_examples,
        stage.windows,
        stage.tuning,
        stage.compress,
    )


def _first_flops(chain: Sequence[Stage], steps: int) -> int:
    """Return the training FLOPs of the first optimiser steps of a chain."""
    flops = 0
    for stage in chain:
        taken = min(steps, stage.steps)
        flops += taken * stage.flops // max(1, stage.steps)
        steps -= taken
    return flops


@dataclass
class Ledger:
    """Bookkeeping over a stage tree; it holds nothing that can't be rebuilt from YAML and store (I4).

    Stages come in the order of :class:`ReadyQueue`. A state is kept until the last child that needs it is done,
    since a child may have to be tried again; Ray pins the state of a running child's parent in any case.

    Parameters
    ----------
    kept
        Stages of which a checkpoint is left from an earlier run: they start from it, and what leads to nothing else
        than to them is not trained again.
    wanted
        Cells that are led to; the others' stages lie dormant until `want` wakes them, and states that they would start
        from are kept. ``None``: all cells.
    """

    tree: StageTree
    rate: Rate
    kept: Collection[str] = ()
    wanted: Collection[str] | None = None
    dormant: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)
    states: dict[str, Any] = field(default_factory=dict)
    unkept_s: dict[str, float] = field(default_factory=dict)
    flops_spent: int = 0
    _waiting: Counter[str] = field(default_factory=Counter)
    _checkpoints: set[str] = field(default_factory=set)
    _obsolete: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.estimates = Estimates(self.tree, self.rate)
        remaining_s = self.tree.remaining_s(self.estimates.stages_s)
        self._ready: dict[Role, ReadyQueue] = {"train": ReadyQueue(remaining_s), "score": ReadyQueue(remaining_s)}
        self._checkpoints.update(self.kept)
        needed = self._needed(None)
        self.dormant.update(needed if self.wanted is not None else ())
        spared = [stage for stage in self.tree if stage.id not in needed]
        self.done.update(stage.id for stage in spared)
        self._obsolete += [stage.id for stage in spared]
        self.estimates.close([stage for stage in self.tree if stage.id not in needed or stage.id in self.dormant])
        for stage in self.tree:
            if stage.id in needed and not self.starts_itself(stage):
                self._waiting[stage.parent or ""] += 1
            elif stage.id in needed and stage.id not in self.dormant:
                self.push(stage)
        if self.wanted:
            self.want(self.wanted)

    def starts_itself(self, stage: Stage) -> bool:
        """Return whether a stage needs no parent's state: it is a root, or was kept."""
        return stage.parent is None or stage.id in self.kept

    @property
    def unfinished(self) -> int:
        """Stages that are to be done, and are neither done nor failed."""
        return len(self.tree) - len(self.done) - len(self.failed) - len(self.dormant)

    def ready(self, *roles: Role) -> int:
        """Return how many stages could be sent now, if there were workers of some roles."""
        return sum(len(self._ready[role]) for role in roles)

    def want(self, cell_ids: Collection[str]) -> None:
        """Wake the stages that lead to some cells."""
        woken = self._needed(cell_ids) & self.dormant
        self.dormant -= woken
        self.estimates.reopen(self.tree.stages[stage_id] for stage_id in woken)
        for stage_id in woken:
            stage = self.tree.stages[stage_id]
            if self.starts_itself(stage) or stage.parent in self.states:
                self.push(stage)

    def push(self, stage: Stage) -> None:
        """Make a stage ready to be sent."""
        self._ready[self.tree.role(stage)].push(stage)

    def pop(self, gangs: int, role: Role = "train") -> Stage | None:
        """Return the ready stage that goes next on so many gangs of a role, or ``None``."""
        return self._ready[role].pop(self.estimates.left_s, gangs)

    def pop_like(self, chain: Sequence[Stage], idle_gangs: int) -> list[list[Stage]]:
        """Return further ready chains that differ from one in the seed alone: this gang's share of them, taken."""
        wanted = [seedless(stage) for stage in chain]
        chains = map(self.tree.chain, filter(self.untried, self._ready["train"]))
        like = [other for other in chains if [seedless(s) for s in other] == wanted]
        share = like[: min(MOST_FUSED, -(-(len(like) + 1) // max(1, idle_gangs))) - 1]
        for other in share:
            self._ready["train"].remove(other[0])
        return share

    def untried(self, stage: Stage) -> bool:
        """Return whether no attempt at a stage, nor an earlier run, can have left a checkpoint on the way."""
        return stage.id not in self.kept and not self.attempts[stage.id]

    def finish(
        self, chain: Sequence[Stage], state: Any, seconds: float, *, kept: Collection[str] = (), spared_steps: int = 0
    ) -> None:
        """Note a chain of stages as done, keep its last state for the children and make them ready.

        Parameters
        ----------
        kept
            Stages of which the worker wrote a checkpoint.
        spared_steps
            Optimiser steps that needn't be done, as they were kept.
        """
        first, last = chain[0], chain[-1]
        unkept_s = self.unkept_s.get(first.parent or "", 0.0) + seconds
        self.done.update(stage.id for stage in chain)
        self._checkpoints.update(kept)
        if self.attempts[first.id] > 1:  # an attempt that was lost can't say what it has kept
            self._checkpoints.update(stage.id for stage in chain)
        self.flops_spent += sum(stage.flops for stage in chain) - _first_flops(chain, spared_steps)
        self.estimates.close(chain)
        if self._waiting[last.id]:
            self.states[last.id] = state
            self.unkept_s[last.id] = 0.0 if last.id in kept else unkept_s
            self._obsolete += [stage.id for stage in chain[:-1]]
        else:
            self._obsolete += [stage.id for stage in chain]
        for child in self.tree.children.get(last.id, ()):
            if not (self.starts_itself(child) or child.id in self.done or child.id in self.dormant):
                self.push(child)
        self._release(first)
        if self.estimates.learn(chain, seconds):
            remaining_s = self.tree.remaining_s(self.estimates.stages_s)
            for queue in self._ready.values():
                queue.reorder(remaining_s)

    def fail(self, stage: Stage) -> list[Stage]:
        """Note a stage and all that needs it as failed; return them, dormant ones included."""
        lost = [stage]
        for known in lost:
            below = self.tree.children.get(known.id, ())
            lost += [c for c in below if not self.starts_itself(c) and c.id not in self.done]
        self.failed.update(s.id for s in lost)
        self.estimates.close([s for s in lost if s.id not in self.dormant])
        self.dormant.difference_update(s.id for s in lost)
        self._release(stage)
        return lost

    def eta_s(self, gangs: int) -> float:
        """Return the estimated seconds to the end, corrected by how long finished stages really took."""
        return max(0.0, self.estimates.left_s) / max(1, gangs)

    def obsolete(self) -> list[str]:
        """Return the stages whose checkpoints nothing needs any more, each once."""
        found = [stage_id for stage_id in self._obsolete if stage_id in self._checkpoints]
        self._checkpoints.difference_update(found)
        self._obsolete.clear()
        return found

    def _needed(self, cell_ids: Collection[str] | None) -> set[str]:
        """Return the stages that lead from what is kept, or from initialisation, to some cells or to all."""
        needed: set[str] = set()
        for leaf in self.tree:
            stage = leaf if leaf.cell is not None and (cell_ids is None or leaf.cell.id in cell_ids) else None
            while stage is not None and stage.id not in needed:
                needed.add(stage.id)
                stage = None if self.starts_itself(stage) else self.tree.stages[stage.parent or ""]
        return needed

    def _release(self, stage: Stage) -> None:
        """Drop the state of a stage's parent where no other child needs it."""
        if self.starts_itself(stage):
            return
        parent = stage.parent or ""
        self._waiting[parent] -= 1
        if not self._waiting[parent]:
            self.states.pop(parent, None)
            self.unkept_s.pop(parent, None)
            self._obsolete.append(parent)
