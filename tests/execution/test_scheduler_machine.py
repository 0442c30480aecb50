"""Whatever is sent, finished, lost, given back and failed in whatever order: nothing is lost for good.

A mirror beside the scheduler knows what is really there: states on nodes, checkpoints, and what workers were given.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.execution.pool.protocol import Holding
from orchestrator.execution.stage_scheduler import StageScheduler
from orchestrator.execution.stage_status import Status
from orchestrator.planning.tree import Stage
from orchestrator.store.checkpoints import Progress
from tests.execution.trees import RATE, tree_of
from workers.messages import Kept

NODES = ("n0", "n1", None)
#: Rules that change something, drawn by number.
picks = st.integers(0, 1_000)


@dataclass(eq=False)
class Flight:
    """A chain on its way, with what it was given."""

    chain: list[Stage]
    given: Holding | Kept | None
    marks: dict[str, Progress] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)


class SchedulerMachine(RuleBasedStateMachine):
    """See the module."""

    @initialize(
        parents=st.lists(st.integers(-1, 6), min_size=1, max_size=7),
        leaves=st.lists(st.integers(-1, 6), max_size=5),
        kept=st.dictionaries(st.integers(0, 6), st.sampled_from(Progress), max_size=3),
        wanted=st.none() | st.sets(st.integers(0, 11), max_size=4),
    )
    def begin(self, parents, leaves, kept, wanted):
        def before(number, most):
            return None if number < 0 or most <= 0 else number % most

        trunks = [before(parent, k) for k, parent in enumerate(parents)]
        tips = [k for k in range(len(trunks)) if k not in trunks]  # each leads to a cell, as every trunk does
        self.tree = tree_of(trunks, [*tips, *(before(leaf, len(trunks)) for leaf in leaves)])
        self.cells = [cell.id for cell in self.tree.cells()]
        first = {f"a{k:02d}": how for k, how in kept.items() if k < len(trunks)}
        self.checkpoints, self.told = dict(first), dict(first)
        self.asked = set(self.cells)
        if wanted is not None:
            self.asked = {self.cells[k] for k in wanted if k < len(self.cells)}
        self.released = Counter()
        self.scheduler = StageScheduler(
            self.tree,
            RATE,
            kept=first,
            wanted=None if wanted is None else sorted(self.asked),
            released=lambda stage_id: self.released.update([stage_id]),
        )
        self.gone, self.lost_untold = set(), set()
        self.flights, self.held = [], []
        self.measured, self.failed = set(), set()
        self.in_memory = Counter()
        self.to_do = [stage for stage in self.tree if self.scheduler.status(stage.id) is not Status.DONE]

    # What a driver does

    @precondition(lambda self: self.scheduler.ready("train"))
    @rule(gangs=st.integers(1, 3))
    def send(self, gangs):
        self.sent(gangs)

    def sent(self, gangs=1):
        chain = self.scheduler.next(gangs)
        if chain is None:
            return False
        first = chain[0]
        given = self.scheduler.parent(chain)
        by_itself = first.parent is None or self.told.get(first.id) is Progress.BEGUN
        assert by_itself or given is not None
        if isinstance(given, Kept):
            assert self.told[first.parent] is Progress.DONE
        assert all(a.id == b.parent for a, b in pairwise(chain))
        self.flights.append(Flight(chain, given))
        return True

    def taken(self, number):
        return self.flights.pop(number % len(self.flights))

    @precondition(lambda self: self.flights)
    @rule(number=picks, node=st.sampled_from(NODES), spill=st.booleans(), copy=st.booleans())
    def answer(self, number, node, spill, copy):
        flight = self.taken(number)
        chain, last = flight.chain, flight.chain[-1]
        gone = self._missing(flight)
        if gone:
            self._lose(flight, gone)
            self.scheduler.retry(chain)
            return
        state = None
        done = [last.id] if (spill or copy) and last.cell is None else []
        self.checkpoints.update(dict.fromkeys(done, Progress.DONE))
        if last.cell is None and not spill:
            state = Holding(object(), node if node not in self.gone else None)
        self._tell(flight, done)
        self.scheduler.finish(chain, state, 1.0, done=done)
        if state is not None and self.scheduler.holds(last.id):
            self.in_memory[last.id] += 1
        if last.cell is not None:
            self.measured.add(last.cell.id)

    def _missing(self, flight):
        """Return the stages that a worker misses: it looks for its own checkpoints first, then for its parent's."""
        chain = flight.chain
        if flight.marks:
            return []  # it has begun
        if self.scheduler.may_be_kept(chain) and any(stage.id in self.checkpoints for stage in chain):
            return []
        parent = chain[0].parent
        if parent is None:
            return []
        if isinstance(flight.given, Kept):
            return [] if self.checkpoints.get(parent) is Progress.DONE else [parent]
        if flight.given is None:
            return [chain[0].id]
        return [parent] if flight.given.node in self.gone else []

    def _lose(self, flight, stage_ids):
        for stage_id in stage_ids:
            if stage_id != flight.chain[0].parent or not isinstance(flight.given, Holding):
                self.told.pop(stage_id, None)
        self.scheduler.miss(flight.chain, flight.given, stage_ids)

    def _tell(self, flight, done=()):
        """Note what a worker says that it has kept."""
        self.told |= flight.marks | dict.fromkeys(done, Progress.DONE)
        begun = [i for i, how in flight.marks.items() if how is Progress.BEGUN]
        ended = [i for i, how in flight.marks.items() if how is Progress.DONE]
        self.scheduler.note_kept(begun, ended)

    @precondition(lambda self: self.flights)
    @rule(number=picks, at=picks, how=st.sampled_from(Progress))
    def keep_in_the_middle(self, number, at, how):
        flight = self.flights[number % len(self.flights)]
        left = [stage for stage in flight.chain if stage.cell is None and stage.id not in flight.passed]
        if left and not self._missing(flight):
            k = at % len(left)
            flight.passed |= {stage.id for stage in left[: k + (how is Progress.DONE)]}
            flight.marks[left[k].id] = how
            if self.checkpoints.get(left[k].id) is not Progress.DONE:
                self.checkpoints[left[k].id] = how

    @precondition(lambda self: self.flights)
    @rule(number=picks)
    def stop(self, number):
        flight = self.taken(number)
        self._tell(flight)
        self.scheduler.give_back(flight.chain)

    @precondition(lambda self: self.flights)
    @rule(number=picks, told=st.booleans())
    def lose_worker(self, number, told):
        flight = self.taken(number)
        if told:
            self._tell(flight)
        self.scheduler.hold(flight.chain)
        self.held.append(flight.chain)

    @precondition(lambda self: self.held)
    @rule(number=picks)
    def retry_held(self, number):
        self.scheduler.retry(self.held.pop(number % len(self.held)))

    @precondition(lambda self: self.flights)
    @rule(number=picks)
    def fail(self, number):
        flight = self.taken(number)
        self._tell(flight)
        in_flight = {stage.id for other in self.flights for stage in other.chain}
        lost = self.scheduler.fail(flight.chain)
        assert {stage.id for stage in flight.chain} <= {stage.id for stage in lost}
        assert in_flight.isdisjoint(stage.id for stage in lost), "who is at work has what it needs"
        self.failed |= {stage.cell.id for stage in lost if stage.cell is not None}

    @rule(cells=st.lists(picks, max_size=2))
    def want(self, cells):
        wanted = {self.cells[number % len(self.cells)] for number in cells}
        self.asked |= wanted
        self.scheduler.want(wanted)

    @rule()
    def tidy(self):
        for stage_id in self.scheduler.obsolete():
            children = self.tree.children.get(stage_id, [])
            open_ = [child for child in children if self._needs(child)]
            assert not open_, "a checkpoint that a child starts from was given up"
            self.checkpoints.pop(stage_id, None)
            self.told.pop(stage_id, None)

    def _needs(self, child):
        done = self.scheduler.status(child.id) in (Status.DONE, Status.FAILED)
        return not done and self.told.get(child.id) is not Progress.BEGUN

    # What happens to it

    @precondition(lambda self: len(self.gone) < 1)
    @rule(node=st.sampled_from(["n0", "n1"]))
    def lose_node(self, node):
        self.gone.add(node)
        self.lost_untold.add(node)

    @precondition(lambda self: self.lost_untold)
    @rule()
    def hear_of_lost_nodes(self):
        self.scheduler.lose_nodes(self.lost_untold)
        self.lost_untold.clear()

    @precondition(lambda self: self.gone)
    @rule()
    def new_node(self):
        self.hear_of_lost_nodes()
        self.gone.clear()

    @precondition(lambda self: self.checkpoints)
    @rule(number=picks)
    def lose_checkpoint(self, number):
        del self.checkpoints[sorted(self.checkpoints)[number % len(self.checkpoints)]]

    # For stories that are not Hypothesis's

    def may(self, name):
        """Return whether a rule applies."""
        needs = {
            "send": self.scheduler.ready("train"),
            "retry_held": self.held,
            "lose_node": not self.gone,
            "hear_of_lost_nodes": self.lost_untold,
            "new_node": self.gone,
            "lose_checkpoint": self.checkpoints,
            "want": True,
            "tidy": True,
        }
        return bool(needs.get(name, self.flights))

    def do(self, name, chance):
        """Apply a rule with what chance gives it."""
        number = chance.randint(0, 1_000)
        more = {
            "send": {"gangs": chance.randint(1, 3)},
            "answer": {
                "number": number,
                "node": chance.choice(NODES),
                "spill": chance.random() < 0.3,
                "copy": chance.random() < 0.3,
            },
            "keep_in_the_middle": {
                "number": number,
                "at": chance.randint(0, 9),
                "how": chance.choice(list(Progress)),
            },
            "lose_worker": {"number": number, "told": chance.random() < 0.5},
            "want": {"cells": [chance.randint(0, 1_000) for _ in range(chance.randint(0, 2))]},
            "lose_node": {"node": chance.choice(["n0", "n1"])},
            "tidy": {},
            "hear_of_lost_nodes": {},
            "new_node": {},
        }
        getattr(self, name)(**more.get(name, {"number": number}))

    # What must hold at any time, and in the end

    @invariant()
    def nothing_is_at_work_twice(self):
        if hasattr(self, "scheduler"):
            counted = Counter(stage.id for flight in self.flights for stage in flight.chain)
            assert set(counted.values()) <= {1}
            statuses = {stage.id: self.scheduler.status(stage.id) for stage in self.tree}
            assert {i for i, status in statuses.items() if status is Status.IN_FLIGHT} == set(counted)
            over = (Status.DONE, Status.FAILED, Status.DORMANT)
            assert self.scheduler.unfinished == sum(status not in over for status in statuses.values())

    @invariant()
    def something_can_be_done_while_anything_is_left(self):
        if hasattr(self, "scheduler") and self.scheduler.unfinished:
            assert self.flights or self.held or self.scheduler.ready("train", "score")

    def teardown(self):
        if not hasattr(self, "scheduler"):
            return
        self.scheduler.want(self.cells)
        self.new_node()
        for _ in range(2_000):
            while self.held:
                self.scheduler.retry(self.held.pop())
            if self.sent() or self.flights:
                self.answer(0, "n0", spill=False, copy=False)
            else:
                break
        assert self.scheduler.unfinished == 0
        assert {self.scheduler.status(stage.id) for stage in self.tree} <= {Status.DONE, Status.FAILED}
        assert self.measured | self.failed == set(self.cells)
        assert self.measured.isdisjoint(self.failed)
        self.tidy()
        assert not [stage.id for stage in self.tree if self.scheduler.holds(stage.id)]
        assert self.in_memory == self.released
        assert self.checkpoints == {}
        done = [stage for stage in self.to_do if self.scheduler.status(stage.id) is Status.DONE]
        assert self.scheduler.flops_spent >= sum(stage.flops for stage in done)
        assert self.scheduler.obsolete() == []


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)

#: How often each rule is tried in a walk, relative to the others.
WEIGHTS = {
    "send": 6.0, "answer": 4.0, "keep_in_the_middle": 2.0, "stop": 1.0, "lose_worker": 1.5, "retry_held": 1.0,
    "fail": 0.4, "want": 0.5, "tidy": 1.0, "lose_node": 0.7, "hear_of_lost_nodes": 1.0, "new_node": 1.0,
    "lose_checkpoint": 0.7,
}  # fmt: skip


def walk(seed):
    """Let a long story happen; Hypothesis tries each rule alike and leaves some out, and so finds much less."""
    chance, machine = random.Random(seed), SchedulerMachine()
    trunks = chance.randint(1, 7)
    machine.begin(
        parents=[chance.choice([-1, *[chance.randint(0, 6)] * 4]) for _ in range(trunks)],
        leaves=[chance.randint(-1, 6) for _ in range(chance.randint(0, 5))],
        kept={chance.randint(0, 6): chance.choice(list(Progress)) for _ in range(chance.choice([0, 0, 1, 2, 3]))},
        wanted=chance.choice([None, {chance.randint(0, 11) for _ in range(chance.randint(0, 4))}]),
    )
    for _ in range(chance.randint(3, 60)):
        names = [name for name in WEIGHTS if machine.may(name)]
        machine.do(chance.choices(names, [WEIGHTS[name] for name in names])[0], chance)
        machine.nothing_is_at_work_twice()
        machine.something_can_be_done_while_anything_is_left()
    machine.teardown()


@pytest.mark.parametrize("tens", range(10))
def test_long_stories_end_well(tens):
    for seed in range(150 * tens, 150 * (tens + 1)):
        try:
            walk(seed)
        except Exception as failure:
            raise AssertionError(f"walk({seed})") from failure
