"""The one owner of two questions: is this stage done, and where does its state lie?

A finished stage's state lies in memory somewhere, among the checkpoints, or nowhere. Nowhere is fine while no child
needs it; as soon as one does, the stage and those before it are done again from the nearest ancestor whose state lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.execution.estimates import Estimates
from orchestrator.execution.pool.protocol import Holding, Parent
from orchestrator.execution.stage_status import ASKING, OPEN, Status, Statuses
from orchestrator.planning.cost import Rate
from orchestrator.planning.priority import ReadyQueue
from orchestrator.planning.tree import Role, Stage, StageTree, first_flops, seedless
from orchestrator.store.checkpoints import Progress
from workers.messages import Kept

#: Chains that are trained as one batched model at most.
MOST_FUSED: Final = 64


@dataclass
class StageScheduler:
    """Bookkeeping over a stage tree; it holds nothing that can't be rebuilt from YAML and store (I4).

    Guarantees: a stage is handed out only while the state that it starts from is known to be somewhere; a state is kept
    until the last child that needs it is done, since a child may have to be tried again; what is lost is done again
    only where something open needs it. Stages come in the order of :class:`ReadyQueue`.

    Parameters
    ----------
    kept
        Stages of which an earlier run has left a checkpoint, begun or done: a begun one starts from it, the children of
        a done one do, and what leads to nothing else is not trained again.
    wanted
        Cells that are led to; the others' stages lie dormant until `want` wakes them, and states that they would start
        from are kept. ``None``: all cells.
    released
        Called with the id of each stage whose state in memory is given up.
    """

    tree: StageTree
    rate: Rate
    kept: Mapping[str, Progress] = field(default_factory=dict)
    wanted: Collection[str] | None = None
    released: Callable[[str], None] = lambda stage_id: None
    attempts: Counter[str] = field(default_factory=Counter)
    flops_spent: int = 0
    #: Times that a stage which was done had to be done again.
    derived_again: int = 0
    _in_memory: dict[str, Holding] = field(default_factory=dict)
    _kept: dict[str, Progress] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)
    _alone: set[str] = field(default_factory=set)
    _unkept_s: dict[str, float] = field(default_factory=dict)
    _obsolete: list[str] = field(default_factory=list)
    remaining_s: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.estimates = Estimates(self.tree, self.rate)
        self.remaining_s = self.tree.remaining_s(self.estimates.stages_s)
        self._ready: dict[Role, ReadyQueue] = {role: ReadyQueue(self.remaining_s) for role in ("train", "score")}
        self._kept.update({stage_id: how for stage_id, how in self.kept.items() if stage_id in self.tree.stages})
        needed = self._leading_to(None)
        first = Status.WAITING if self.wanted is None else Status.DORMANT
        firsts = {stage.id: first if stage.id in needed else Status.DONE for stage in self.tree}
        self._status = Statuses(self.tree, self.estimates, firsts)
        for stage in self.tree:
            if self._status[stage.id] is Status.WAITING:
                self._set_going(stage)
            elif self._status[stage.id] is Status.DONE and not self._is_asked_for(stage.id):
                self._obsolete.append(stage.id)
        if self.wanted:
            self.want(self.wanted)

    # What is to be done

    @property
    def unfinished(self) -> int:
        """Stages that are to be done, and are neither done nor failed."""
        return sum(self._status.count[status] for status in OPEN)

    @property
    def done(self) -> int:
        """Stages that are done, or that nothing left to do needs."""
        return self._status.count[Status.DONE]

    def status(self, stage_id: str) -> Status:
        """Return where a stage stands."""
        return self._status[stage_id]

    def ready(self, *roles: Role) -> int:
        """Return how many stages could be sent now, if there were workers of some roles."""
        return sum(len(self._ready[role]) for role in roles)

    def eta_s(self, gangs: int) -> float:
        """Return the estimated seconds to the end, corrected by how long finished stages really took."""
        return max(0.0, self.estimates.left_s) / max(1, gangs)

    def want(self, cell_ids: Collection[str]) -> None:
        """Wake the stages that lead to some cells."""
        woken = [i for i in self._leading_to(cell_ids) if self._status[i] is Status.DORMANT]
        for stage_id in woken:
            self._status.set(self.tree.stages[stage_id], Status.WAITING)
        for stage_id in woken:
            if self._status[stage_id] is Status.WAITING:
                self._set_going(self.tree.stages[stage_id])

    def next(self, gangs: int, role: Role = "train") -> list[Stage] | None:
        """Return the chain that goes next on so many gangs of a role, which is then in flight, or ``None``."""
        stage = self._ready[role].pop(self.estimates.left_s, gangs)
        return None if stage is None else self._sent(stage)

    def next_like(self, chain: Sequence[Stage], idle_gangs: int) -> list[list[Stage]]:
        """Return further chains that differ from one in the seed alone: this gang's share of them, in flight.

        Those of which a checkpoint may be there go with others of that kind only, and those that have failed alone.
        """
        if chain[0].id in self._alone:
            return []
        wanted = [seedless(stage) for stage in chain]
        old = self.may_be_kept(chain)  # it was sent, which the others were not yet
        like = []
        for first in self._ready["train"]:
            other = self._chain(first)
            if first.id not in self._alone and [seedless(s) for s in other] == wanted and self._may_go_on(other) == old:
                like.append(first)
        share = like[: min(MOST_FUSED, -(-(len(like) + 1) // max(1, idle_gangs))) - 1]
        for first in share:
            self._ready["train"].remove(first)
        return [self._sent(first) for first in share]

    def parent(self, chain: Sequence[Stage]) -> Parent:
        """Return what a chain starts from: its parent's state, or nothing where it has none or needs none."""
        parent = chain[0].parent or ""
        if parent in self._in_memory:
            return self._in_memory[parent]
        return Kept(parent) if self._kept.get(parent) is Progress.DONE else None

    def may_be_kept(self, chain: Sequence[Stage]) -> bool:
        """Return whether an earlier attempt or run may have left a checkpoint of one of these stages."""
        return any(self.attempts[stage.id] > 1 or stage.id in self._kept or stage.id in self._tried for stage in chain)

    def unkept_s(self, chain: Sequence[Stage]) -> float:
        """Return the training time that the loss of the state which a chain starts from would cost."""
        return self._unkept_s.get(chain[0].parent or "", 0.0)

    # What has come about

    def finish(
        self,
        chain: Sequence[Stage],
        state: Holding | None,
        seconds: float,
        *,
        begun: Collection[str] = (),
        done: Collection[str] = (),
        spared_steps: int = 0,
    ) -> None:
        """Note a chain as done, keep its last state for the children and make them ready.

        Parameters
        ----------
        state
            Where it lies in memory; ``None`` where it went to a checkpoint, or there is none.
        begun, done
            Stages of which the worker wrote a checkpoint.
        spared_steps
            Optimiser steps that needn't be done, as they were kept.
        """
        first, last = chain[0], chain[-1]
        unkept_s = self.unkept_s(chain) + seconds
        self.note_kept(begun, done)
        for stage in chain:
            self._status.set(stage, Status.DONE)
        self.flops_spent += sum(stage.flops for stage in chain) - first_flops(chain, spared_steps)
        if state is not None and self._is_asked_for(last.id):
            self._in_memory[last.id] = state
            self._unkept_s[last.id] = 0.0 if last.id in done else unkept_s
        for stage in chain:
            self._let_go_unless_asked_for(stage.id)
        self._let_go_unless_asked_for(first.parent)
        for stage in chain:  # only the last has children that wait, unless states were lost in the meantime
            self._wake_children(stage)
        if self.estimates.learn(chain, seconds):
            self.remaining_s = self.tree.remaining_s(self.estimates.stages_s)
            for queue in self._ready.values():
                queue.reorder(self.remaining_s)

    def note_kept(self, begun: Collection[str] = (), done: Collection[str] = ()) -> None:
        """Note checkpoints that a worker wrote."""
        self._kept.update(dict.fromkeys(begun, Progress.BEGUN))
        self._kept.update(dict.fromkeys(done, Progress.DONE))
        for stage_id in done:
            self._unkept_s[stage_id] = 0.0

    def part(self, chain: Sequence[Stage]) -> None:
        """Let a chain go without other seeds from now on, as one of them may be what failed."""
        self._alone.update(stage.id for stage in chain)

    def retry(self, chain: Sequence[Stage]) -> None:
        """Make a chain that was in flight or held ready again, as soon as the state that it starts from is there.

        It begins where the last stage was kept that is known to be. One that has failed in the meantime, as what it
        waited for could not be derived again, stays failed.
        """
        if self._status[chain[0].id] is Status.FAILED:
            return
        first = 0
        for k, stage in enumerate(chain):
            if stage.id in self._kept:
                first = k + (self._kept[stage.id] is Progress.DONE)
        for k, stage in enumerate(chain):
            self._status.set(stage, Status.DONE if k < first else Status.WAITING)
        self.flops_spent += sum(stage.flops for stage in chain[:first])
        if first:
            self.attempts[chain[min(first, len(chain) - 1)].id] += self.attempts[chain[0].id]
        if first < len(chain):
            self._set_going(chain[first])
        else:
            self._wake_children(chain[-1])
        for stage in chain[:first]:
            self._let_go_unless_asked_for(stage.id)
        self._let_go_unless_asked_for(chain[0].parent)

    def give_back(self, chain: Sequence[Stage]) -> None:
        """Make a chain ready again that was sent and not begun: this was no attempt."""
        self.attempts[chain[0].id] -= 1
        self.retry(chain)

    def hold(self, chain: Sequence[Stage]) -> None:
        """Let a chain that was in flight wait until `retry`."""
        for stage in chain:
            self._status.set(stage, Status.HELD)

    def fail(self, chain: Sequence[Stage]) -> list[Stage]:
        """Note a chain that was in flight, and all that needs it, as failed; return them, dormant ones included.

        A child that is in flight has the state that it needs, from before that was lost, and goes on.
        """
        for stage in chain:
            self._status.set(stage, Status.FAILED)
        lost = list(chain)
        for known in lost:
            for child in self.tree.children.get(known.id, ()):
                if self._status[child.id] in ASKING - {Status.IN_FLIGHT} and not self._goes_on_by_itself(child):
                    self._status.set(child, Status.FAILED)
                    lost.append(child)
        for each in lost:
            self._let_go_unless_asked_for(each.id)
        self._let_go_unless_asked_for(chain[0].parent)
        return lost

    def lose_nodes(self, nodes: Collection[str]) -> None:
        """Note that what lay in the memory of some nodes is gone.

        A stage in flight is left alone: it may have its parent's state already, and says so where it hasn't.
        """
        lost = [stage_id for stage_id, state in self._in_memory.items() if state.node in nodes]
        for stage_id in lost:
            self._forget(stage_id)
        self._derive(lost)

    def miss(self, chain: Sequence[Stage], given: Parent, stage_ids: Collection[str]) -> None:
        """Note what a chain did not find: its parent's state, or checkpoints of its own.

        Parameters
        ----------
        given
            What the chain was sent with. A state that was derived again since then, and a copy of it elsewhere, are
            still there.
        """
        own = {chain[0].parent, *(stage.id for stage in chain)}
        missed = [stage_id for stage_id in stage_ids if stage_id in own]
        for stage_id in missed:
            if stage_id == chain[0].parent and isinstance(given, Holding):
                if self._in_memory.get(stage_id) is given:
                    self._forget(stage_id)
            elif self._kept.pop(stage_id, None) is not None:
                self._tried.add(stage_id)  # so that what is left of it is dropped in the end
        self._derive(missed)

    def holds(self, stage_id: str) -> bool:
        """Return whether a stage's state lies in memory."""
        return stage_id in self._in_memory

    def held(self) -> list[tuple[Stage, Holding, float]]:
        """Return the states in memory that a stop would lose, with the training time that each has cost."""
        found = [(self.tree.stages[i], state, self._unkept_s.get(i, 0.0)) for i, state in self._in_memory.items()]
        return sorted((each for each in found if each[2] > 0), key=lambda each: -each[2])

    def obsolete(self) -> list[str]:
        """Return the stages whose checkpoints nothing needs any more, each once."""
        found = [i for i in dict.fromkeys(self._obsolete) if (i in self._kept or i in self._tried)]
        found = [i for i in found if not self._is_asked_for(i) and self._status[i] not in ASKING]
        for stage_id in found:
            self._kept.pop(stage_id, None)
            self._tried.discard(stage_id)
        self._obsolete.clear()
        return found

    # How it is kept

    def _sent(self, stage: Stage) -> list[Stage]:
        chain = self._chain(stage)
        self.attempts[stage.id] += 1
        for each in chain:
            self._status.set(each, Status.IN_FLIGHT)
            if self.attempts[stage.id] > 1:
                self._tried.add(each.id)
        return chain

    def _chain(self, stage: Stage) -> list[Stage]:
        """Return a stage and those that follow it of which each alone needs the state before it."""
        found = [stage]
        while True:
            last = found[-1]
            below = [
                child
                for child in self.tree.children.get(last.id, ())
                if self._status[child.id] in ASKING and not self._goes_on_by_itself(child)
            ]
            if len(below) != 1 or self._status[below[0].id] is not Status.WAITING:
                return found
            if not self.tree.follows(below[0], stage):
                return found
            found.append(below[0])

    def _goes_on_by_itself(self, stage: Stage) -> bool:
        """Return whether a stage needs no parent's state: it is a root, or was left in its middle."""
        return stage.parent is None or self._kept.get(stage.id) is Progress.BEGUN

    def _is_there(self, stage_id: str | None) -> bool:
        return stage_id in self._in_memory or self._kept.get(stage_id or "") is Progress.DONE

    def _can_start(self, stage: Stage) -> bool:
        return self._goes_on_by_itself(stage) or self._is_there(stage.parent)

    def _is_asked_for(self, stage_id: str) -> bool:
        """Return whether a child will start from a stage's state."""
        children = self.tree.children.get(stage_id, ())
        return any(self._status[c.id] in ASKING and not self._goes_on_by_itself(c) for c in children)

    def _set_going(self, stage: Stage) -> None:
        """Make a waiting stage ready, or see to it that what it waits for comes about."""
        while not self._can_start(stage):
            parent = self.tree.stages[stage.parent or ""]
            if self._status[parent.id] in OPEN:
                return  # it comes about without further ado, and wakes its children
            self.derived_again += self._status[parent.id] is Status.DONE
            self._status.set(parent, Status.WAITING)
            stage = parent
        self._status.set(stage, Status.READY)
        self._ready[self.tree.role(stage)].push(stage)

    def _forget(self, stage_id: str) -> None:
        if self._in_memory.pop(stage_id, None) is not None:
            self.released(stage_id)

    def _derive(self, lost: Collection[str]) -> None:
        """See to it that what was ready to start from states that are gone can start again."""
        for stage_id in lost:
            for asking in (self.tree.stages[stage_id], *self.tree.children.get(stage_id, ())):
                if self._status[asking.id] is Status.READY and not self._can_start(asking):
                    self._ready[self.tree.role(asking)].remove(asking)
                    self._status.set(asking, Status.WAITING)
                    self._set_going(asking)

    def _wake_children(self, stage: Stage) -> None:
        for child in self.tree.children.get(stage.id, ()):
            if self._status[child.id] is Status.WAITING and self._status[stage.id] is Status.DONE:
                self._set_going(child)

    def _let_go_unless_asked_for(self, stage_id: str | None) -> None:
        if stage_id is not None and not self._is_asked_for(stage_id):
            self._let_go(stage_id)

    def _let_go(self, stage_id: str) -> None:
        self._forget(stage_id)
        self._unkept_s.pop(stage_id, None)
        self._obsolete.append(stage_id)

    def _leading_to(self, cell_ids: Collection[str] | None) -> list[str]:
        """Return the stages that lead from what is kept, or from initialisation, to some cells or to all."""
        needed: dict[str, None] = {}
        for leaf in self.tree:
            stage = leaf if leaf.cell is not None and (cell_ids is None or leaf.cell.id in cell_ids) else None
            while stage is not None and stage.id not in needed:
                needed[stage.id] = None
                stays = self._goes_on_by_itself(stage) or self._is_there(stage.parent)
                stage = None if stays else self.tree.stages[stage.parent or ""]
        return list(needed)

    def _may_go_on(self, chain: Sequence[Stage]) -> bool:
        return any(stage.id in self._kept or self.attempts[stage.id] for stage in chain)
