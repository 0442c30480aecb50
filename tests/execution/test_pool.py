"""What both pools promise to the driver, tried on each: workers of a Ray, and threads of this process."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest
import ray

from orchestrator.execution.cluster.watch import ClusterWatch
from orchestrator.execution.keep_states import keep_states
from orchestrator.execution.pool.local_pool import LocalPool
from orchestrator.execution.pool.protocol import CannotStart, Finished, Holding, Lost, Ready, WorkerNeeds
from orchestrator.execution.pool.ray_pool import RayPool
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from orchestrator.store.checkpoints import Progress
from workers.messages import Cause, Failure, Kept, WorkOrder

SIMULATED = """\
name: pool
data: {source: simulated, examples: 1M}
model: {family: simulated, stage_s: 0.5}
grid: {params: [1k, 3k, 10k], data_fraction: [0.5], epochs: [1], seeds: 2}
"""
#: States of more than a megabyte.
LARGE = """\
name: large
data: {source: python-stdlib, max_examples: 32, eval_examples: 8}
model: {family: transformer, context: 16}
grid: {params: [100k], data_fraction: [0.5, 1.0], epochs: [1]}
train: {batch_size: 8, warmup_steps: 0}
inference: {measure: false}
"""
NEEDS = WorkerNeeds(cpus=1, gpus=0.0, store_patience_s=5.0)
WAIT_S = 60.0


class Tried:
    """A pool under test, and what can be done to its workers from outside."""

    def __init__(self, kind, store, text, family=None):
        self.kind, self.store, self.plan = kind, store, make_plan(parse_sweep(text))
        self.chains = [self.plan.tree.chain(root) for root in self.plan.tree.children[None]]
        context = self.plan.context if family is None else replace(self.plan.context, family=family)
        arguments = (context, store.uri, store.identity(), {"train": NEEDS, "score": NEEDS})
        if kind == "ray":
            self.namespace = f"pool-{time.monotonic_ns()}"
            self.watch = ClusterWatch(ray.nodes, ray.get_runtime_context().get_node_id()).start()
            self.pool = RayPool(*arguments, namespace=self.namespace, watch=self.watch)
        else:
            self.pool = LocalPool(*arguments)

    def close(self):
        self.pool.close()
        if self.kind == "ray":
            self.watch.close()

    def start(self, count=1, role="train"):
        """Start gangs and wait until they are warm."""
        names = self.pool.start(role, count)
        assert sorted(event.gang for event in self.hear(count)) == sorted(names)
        return names

    def hear(self, count, within_s=WAIT_S):
        """Return the next events, exactly so many."""
        found, end = [], time.monotonic() + within_s
        while len(found) < count:
            assert time.monotonic() < end, found
            found += self.pool.events(0.2)
        assert len(found) == count, found
        return found

    def hears_nothing(self):
        """Return whether nothing comes for longer than what was at work would have taken."""
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            if found := self.pool.events(0.2):
                raise AssertionError(found)
        return True

    def kill(self, gang):
        if self.kind == "ray":
            named = ray.util.list_named_actors(all_namespaces=True)
            (mine,) = [n for n in named if n["name"] == gang and n["namespace"].startswith(self.namespace)]
            actor = ray.get_actor(gang, namespace=mine["namespace"])
            pid = ray.get(actor.__ray_call__.options(concurrency_group="watch").remote(lambda worker: os.getpid()))
            os.kill(pid, signal.SIGKILL)
        else:
            self.pool.kill(gang)

    def order(self, k=0, stages=None, **changes):
        chain = self.chains[k]
        return WorkOrder(chain=chain if stages is None else chain[:stages], **changes)


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def tried(request, tmp_path):
    """Make a pool of each kind for a sweep."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    made = []

    def make(text=SIMULATED, **keywords):
        made.append(Tried(request.param, open_store(str(tmp_path / "store"), create=True), text, **keywords))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_gangs_have_names_and_roles_and_tell_when_they_are_warm(tried):
    it = tried()
    assert it.start(2) == ["scalaw-worker-0", "scalaw-worker-1"]
    assert it.start(1, "score") == ["scalaw-cpu-worker-0"]
    assert (it.pool.size("train"), it.pool.size("score")) == (2, 1)
    assert {gang: it.pool.role(gang) for gang in it.pool.gangs()} == {
        "scalaw-worker-0": "train",
        "scalaw-worker-1": "train",
        "scalaw-cpu-worker-0": "score",
    }
    assert it.pool.lost_nodes() == frozenset()
    assert it.pool.events(0.0) == []


def test_work_is_answered_once_a_ticket_in_the_order_of_sending_and_leaves_its_rows(tried):
    it = tried(SIMULATED.replace("0.5}\n", "0.05}\n", 1))
    (gang,) = it.start()
    tickets = [it.pool.send(gang, [it.order(k)], [None]) for k in range(4)]
    answers = it.hear(4)
    assert [answer.ticket for answer in answers] == tickets
    assert all(isinstance(answer, Finished) and answer.gang == gang for answer in answers)
    rows = [answer.results[0].row for answer in answers]
    assert [row["cell_id"] for row in rows] == [it.chains[k][-1].cell.id for k in range(4)]
    assert all(answer.states == [None] for answer in answers), "nothing follows an evaluation"
    assert set(it.store.done()) == {row["cell_id"] for row in rows}
    assert it.hears_nothing()


def test_a_lot_of_orders_is_answered_together_one_result_each(tried):
    it = tried()
    (gang,) = it.start()
    ticket = it.pool.send(gang, [it.order(0), it.order(1), it.order(2, stages=1)], [None, None, None])
    (answer,) = it.hear(1)
    assert (answer.ticket, len(answer.results), len(answer.states)) == (ticket, 3, 3)
    assert [result.row and result.row["cell_id"] for result in answer.results] == [
        it.chains[0][-1].cell.id,
        it.chains[1][-1].cell.id,
        None,
    ]
    assert answer.states[:2] == [None, None]
    assert isinstance(answer.states[2], Holding)


def test_a_state_goes_to_a_child_on_another_gang_also_after_the_gang_that_made_it_has_died(tried):
    it = tried(LARGE)
    first, second = it.start(2)
    trunk = it.chains[0]
    assert len(trunk) == 1, "two cells fork from it"
    it.pool.send(first, [WorkOrder(chain=trunk)], [None])
    (answer,) = it.hear(1)
    (state,) = answer.states
    assert answer.results[0].failure is None
    assert answer.results[0].state_bytes > 1_000_000
    child = it.plan.tree.chain(it.plan.tree.children[trunk[0].id][0])
    it.pool.send(second, [WorkOrder(chain=child)], [state])
    (before,) = it.hear(1)
    it.kill(first)
    (lost,) = it.hear(1)
    assert isinstance(lost, Lost)
    it.store.forget_failures([])
    it.pool.send(second, [WorkOrder(chain=child)], [state])
    (after,) = it.hear(1)
    assert after.results[0].failure is None
    assert after.results[0].row["val_loss"] == before.results[0].row["val_loss"]


def test_a_result_belongs_to_its_workers_threads_whatever_else_the_process_has_set(tried, request):
    import torch

    before, found = torch.get_num_threads(), set()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    for threads in (1, 2):
        torch.set_num_threads(threads)
        it = tried(LARGE)
        if it.kind == "ray":
            pytest.skip("a worker of Ray has a process to itself")
        (gang,) = it.start()
        it.pool.send(gang, [it.order(0)], [None])
        (trunk,) = it.hear(1)
        child = it.plan.tree.chain(it.plan.tree.children[it.chains[0][0].id][0])
        for _ in range(2):
            it.pool.send(gang, [WorkOrder(chain=child)], trunk.states)
            (answer,) = it.hear(1)
            found.add(answer.results[0].row["val_loss"])
    assert len(found) == 1


def test_a_state_that_is_kept_lies_among_the_checkpoints_as_done_and_serves_as_parent(tried):
    it = tried(LARGE)
    (gang,) = it.start()
    trunk = it.chains[0]
    it.pool.send(gang, [WorkOrder(chain=trunk)], [None])
    (answer,) = it.hear(1)
    ticket = it.pool.keep(gang, trunk[-1], answer.states[0])
    (kept,) = it.hear(1)
    assert (kept.ticket, list(kept.results), list(kept.states)) == (ticket, [], [])
    assert it.store.checkpoints.kept() == {trunk[-1].id: Progress.DONE}
    child = it.plan.tree.chain(it.plan.tree.children[trunk[0].id][0])
    it.pool.send(gang, [WorkOrder(chain=child)], [Kept(trunk[-1].id)])
    (answer,) = it.hear(1)
    assert answer.results[0].row["status"] == "ok"


def test_a_state_that_is_spilled_lies_among_the_checkpoints_and_does_not_travel(tried):
    it = tried(LARGE)
    (gang,) = it.start()
    it.pool.send(gang, [WorkOrder(chain=it.chains[0], spill=True)], [None])
    (answer,) = it.hear(1)
    assert (answer.results[0].state_bytes, answer.results[0].done) == (0, (it.chains[0][-1].id,))
    assert it.store.checkpoints.kept() == {it.chains[0][-1].id: Progress.DONE}


def test_states_are_kept_by_the_gangs_that_are_left_where_one_is_lost_meanwhile(tried):
    it = tried()
    first, second = it.start(2)
    it.pool.send(first, [it.order(0, stages=1)], [None])
    it.pool.send(second, [it.order(1, stages=1)], [None])
    states = [(answer, answer.states[0]) for answer in it.hear(2)]
    stages = {first: it.chains[0][0], second: it.chains[1][0]}
    it.pool.send(first, [it.order(2)], [None])  # it dies at this, before it comes to the state
    it.kill(first)
    said = []
    wanted = [(stages[answer.gang], state, 1.0) for answer, state in sorted(states, key=lambda each: each[0].gang)]
    keep_states(it.pool, [first, second], wanted, time.monotonic() + WAIT_S, said.append)
    assert it.store.checkpoints.kept() == {stages[second].id: Progress.DONE}
    assert said == [f"the state of stage {stages[first].id[:12]} could not be kept: {first} was lost"]


def test_a_worker_that_dies_at_work_takes_one_ticket_along_and_is_not_heard_of_again(tried):
    it = tried()
    (gang,) = it.start()
    at_work, behind = (it.pool.send(gang, [it.order(k)], [None]) for k in range(2))
    it.kill(gang)
    (lost,) = it.hear(1)
    assert (lost.gang, lost.ticket, lost.failure.cause) == (gang, at_work, Cause.WORKER_DIED)
    assert gang in lost.failure.error
    assert "WorkerDied: " in lost.failure.error.splitlines()[-1]
    assert behind != at_work
    assert it.hears_nothing()
    assert it.pool.gangs() == [gang], "it is the driver who replaces or drops it"


def test_a_worker_that_dies_while_it_is_idle_is_nobody_s_fault(tried):
    it = tried()
    first, second = it.start(2)
    it.kill(second)
    (lost,) = it.hear(1)
    assert (lost.gang, lost.ticket, lost.failure.cause) == (second, None, Cause.NODE_LOST)
    it.pool.send(first, [it.order()], [None])
    (answer,) = it.hear(1)
    assert answer.results[0].row is not None, "the other goes on"


def test_a_lost_gang_is_replaced_under_its_name_and_works(tried):
    it = tried()
    (gang,) = it.start()
    it.pool.send(gang, [it.order()], [None])
    it.kill(gang)
    assert isinstance(it.hear(1)[0], Lost)
    it.pool.replace(gang)
    assert it.hear(1) == [Ready(gang)]
    it.pool.send(gang, [it.order()], [None])
    (answer,) = it.hear(1)
    assert answer.results[0].row["worker"] == gang


def test_a_gang_that_is_given_up_is_lost_for_the_reason_that_was_given(tried):
    it = tried()
    (gang,) = it.start()
    at_work, _ = (it.pool.send(gang, [it.order(k)], [None]) for k in range(2))
    why = Failure(Cause.STALLED, "it made no step")
    it.pool.give_up(gang, why)
    assert it.hear(1) == [Lost(gang, why, at_work)]
    assert it.hears_nothing()
    it.pool.replace(gang)
    assert it.hear(1) == [Ready(gang)]


def test_a_gang_that_is_dropped_ends_without_a_word(tried):
    it = tried()
    first, second = it.start(2)
    it.pool.send(second, [it.order()], [None])
    it.pool.drop(second)
    assert it.hears_nothing()
    assert it.pool.gangs() == [first]
    assert it.start() == [second], "its name is free"


def test_a_gang_can_be_dropped_or_replaced_before_it_is_warm(tried):
    it = tried()
    first, second = it.pool.start("train", 2)
    it.pool.drop(first)
    it.pool.replace(second)
    assert it.hear(1) == [Ready(second)]
    assert it.hears_nothing()


def test_a_stop_ends_a_chain_after_the_stage_at_work_with_its_state_kept(tried):
    it = tried()
    (gang,) = it.start()
    chain = it.chains[0]
    assert len(chain) > 2
    it.pool.send(gang, [it.order()], [None])
    it.pool.stop_soon()
    (answer,) = it.hear(1)
    assert answer.results[0].stopped
    assert answer.results[0].row is None
    assert it.store.checkpoints.kept() == {chain[0].id: Progress.DONE}
    assert list(answer.results[0].done) == [chain[0].id]


def test_what_is_sent_after_a_stop_ends_at_once_too(tried):
    it = tried()
    (gang,) = it.start()
    it.pool.stop_soon()
    it.pool.send(gang, [it.order()], [None])
    (answer,) = it.hear(1)
    assert answer.results[0].stopped


def test_a_gang_that_can_not_start_says_why_each_time(tried):
    it = tried(family="no-such-family")
    (gang,) = it.pool.start("train", 1)
    (told,) = it.hear(1)
    assert isinstance(told, CannotStart)
    assert told.gang == gang
    assert told.failure.cause is Cause.RAISED
    assert "no-such-family" in told.failure.error.splitlines()[-1]
    it.pool.replace(gang)
    (again,) = it.hear(1)
    assert (again.gang, again.failure.cause) == (gang, Cause.RAISED)


def test_a_parent_that_is_not_among_the_checkpoints_is_a_lost_state_and_names_its_stage(tried):
    it = tried(LARGE)
    (gang,) = it.start()
    trunk = it.chains[0]
    child = it.plan.tree.chain(it.plan.tree.children[trunk[0].id][0])
    it.pool.send(gang, [WorkOrder(chain=child)], [Kept(trunk[-1].id)])
    (answer,) = it.hear(1)
    failure = answer.results[0].failure
    assert (failure.cause, failure.stages) == (Cause.STATE_LOST, (trunk[-1].id,))
    assert it.store.done() == {}


def test_a_gang_at_work_tells_how_it_is_from_when_it_was_sent_what_it_is_at(tried):
    it = tried(SIMULATED.replace("0.5}\n", "3}\n", 1))
    (gang,) = it.start()
    time.sleep(1.0)
    it.pool.send(gang, [it.order(stages=2)], [None])
    at_first = it.pool.vitals(gang)
    assert at_first.unchanged_s < 1.0, "what it did before does not count"
    end = time.monotonic() + WAIT_S
    while not (vitals := it.pool.vitals(gang)).unchanged_s > 2.0:
        assert time.monotonic() < end
        assert it.pool.events(0.1) == []
    assert vitals.unchanged_s > at_first.unchanged_s


def test_nothing_is_heard_and_nobody_is_there_after_the_end(tried):
    it = tried()
    (gang,) = it.start()
    it.pool.send(gang, [it.order()], [None])
    it.pool.close()
    assert it.pool.gangs() == []
    assert it.hears_nothing()
