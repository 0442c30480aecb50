"""Is it done, and where does its state lie: order, retries, what was kept, and states that are lost."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.execution.pool.protocol import Holding
from orchestrator.execution.stage_scheduler import StageScheduler
from orchestrator.execution.stage_status import Status
from orchestrator.planning import make_plan
from orchestrator.store.checkpoints import Progress
from tests.execution.trees import RATE, tree_of
from workers.messages import Kept

#: a00 ─ a01 ─┬ a02 ─ e00
#:            ├ a03 ─ e01
#:            └ e02
FORK = tree_of([None, 0, 1, 1], [2, 3, 1])


def names(chain):
    return None if chain is None else [stage.id for stage in chain]


def done(scheduler, chain, *, node="n0", kept=(), seconds=1.0):
    """Finish a chain with a state on a node; return the state."""
    state = None if chain[-1].cell else Holding(object(), node)
    scheduler.finish(chain, state, seconds, done=kept)
    return state


def finish_all(scheduler):
    """Finish what is left; return the stages in the order in which they were sent."""
    sent = []
    while (chain := scheduler.next(2)) is not None:
        done(scheduler, chain)
        sent += names(chain)
    return sent


def assert_nothing_is_left(scheduler):
    assert scheduler.unfinished == 0
    assert not any(scheduler.holds(stage.id) for stage in scheduler.tree)


@pytest.fixture
def released():
    return Counter()


@pytest.fixture
def fork(released):
    """A scheduler of the fork, whose trunk ``a00 a01`` was sent and done on node n0."""
    scheduler = StageScheduler(FORK, RATE, released=lambda stage_id: released.update([stage_id]))
    trunk = scheduler.next(1)
    assert names(trunk) == ["a00", "a01"]
    done(scheduler, trunk)
    return scheduler


def test_every_stage_is_sent_once_and_after_its_parent(sweep):
    plan = make_plan(sweep())
    scheduler = StageScheduler(plan.tree, plan.rate)
    seen = finish_all(scheduler)
    assert sorted(seen) == sorted(plan.tree.stages)
    assert all(s.parent is None or seen.index(s.parent) < seen.index(s.id) for s in plan.tree)
    assert scheduler.flops_spent == plan.flops_planned
    assert scheduler.derived_again == 0
    assert_nothing_is_left(scheduler)


def test_a_state_is_kept_until_its_last_child_is_done_and_each_child_gets_it(fork, released):
    chains = [fork.next(1) for _ in range(3)]
    given = {id(fork.parent(chain)) for chain in chains}
    assert len(given) == 1
    for chain in chains:
        assert fork.holds("a01")
        assert released["a01"] == 0
        done(fork, chain)
    assert not fork.holds("a01")
    assert released == {"a01": 1}


def test_a_failed_stage_takes_its_descendants_and_nothing_else(fork):
    chain = next(c for c in (fork.next(1) for _ in range(3)) if c[0].id == "a02")
    assert {stage.id for stage in fork.fail(chain)} == {"a02", "e00"}
    assert fork.unfinished == 3
    for stage_id in ("a02", "e00"):
        assert fork.status(stage_id) is Status.FAILED


def test_a_root_that_fails_takes_everything_below_it():
    scheduler = StageScheduler(FORK, RATE)
    assert {stage.id for stage in scheduler.fail(scheduler.next(1))} == set(FORK.stages)
    assert_nothing_is_left(scheduler)


def test_the_estimate_is_corrected_by_what_was_measured(sweep):
    plan = make_plan(sweep())
    scheduler = StageScheduler(plan.tree, plan.rate)
    before = scheduler.eta_s(1)
    chain = scheduler.next(2)
    planned_s = sum(scheduler.estimates.stages_s[stage.id] for stage in chain)
    done(scheduler, chain, seconds=10 * planned_s)
    assert scheduler.eta_s(1) == pytest.approx(10 * (before - planned_s))


def test_attempts_are_counted_and_what_was_given_back_is_none(fork):
    chain = fork.next(1)
    fork.retry(chain)
    assert names(fork.next(1)) == names(chain)
    assert fork.attempts[chain[0].id] == 2
    fork.give_back(chain)
    assert names(fork.next(1)) == names(chain)
    assert fork.attempts[chain[0].id] == 2


def test_a_chain_that_is_held_is_not_sent_until_its_retry(fork):
    chain = fork.next(1)
    fork.hold(chain)
    others = [names(fork.next(1)), names(fork.next(1)), fork.next(1)]
    assert names(chain) not in others
    assert others[-1] is None
    assert fork.unfinished == 5
    fork.retry(chain)
    assert names(fork.next(1)) == names(chain)


# What earlier runs, and earlier attempts, have kept


def test_what_led_to_a_kept_stage_and_to_nothing_else_is_not_trained_again():
    all_kept = StageScheduler(FORK, RATE, kept={"a02": Progress.BEGUN, "a03": Progress.DONE, "a01": Progress.DONE})
    assert sorted(finish_all(all_kept)) == ["a02", "e00", "e01", "e02"]
    assert all_kept.flops_spent == FORK.stages["a02"].flops
    one = StageScheduler(FORK, RATE, kept={"a02": Progress.BEGUN, "a03": Progress.BEGUN})
    assert sorted(finish_all(one)) == sorted(FORK.stages), "e02 needs the trunk"


def test_a_begun_stage_starts_by_itself_and_a_done_ones_children_from_its_checkpoint():
    scheduler = StageScheduler(FORK, RATE, kept={"a01": Progress.DONE, "a02": Progress.BEGUN})
    found = {chain[0].id: scheduler.parent(chain) for chain in (scheduler.next(1) for _ in range(3))}
    assert found == {"a02": Kept("a01"), "a03": Kept("a01"), "e02": Kept("a01")}
    nothing_before = StageScheduler(tree_of([None, 0], [1]), RATE, kept={"a01": Progress.BEGUN})
    chain = nothing_before.next(1)
    assert names(chain) == ["a01", "e00"]
    assert nothing_before.parent(chain) is None
    assert nothing_before.may_be_kept(chain)


def test_checkpoints_that_nothing_needs_any_more_are_told_once_each():
    scheduler = StageScheduler(
        FORK, RATE, kept={"a00": Progress.DONE, "a01": Progress.DONE, "a02": Progress.BEGUN, "ffff": Progress.DONE}
    )
    assert scheduler.obsolete() == ["a00"], "not what belongs to other trees"
    told = []
    while (chain := scheduler.next(1)) is not None:
        done(scheduler, chain)
        told += scheduler.obsolete()
    assert sorted(told) == ["a01", "a02"]
    assert scheduler.obsolete() == []


def test_a_checkpoint_that_a_lost_attempt_may_have_left_is_told_with_its_stage(fork):
    fork.obsolete()
    chain = fork.next(1)
    fork.retry(chain)
    done(fork, fork.next(1))
    assert fork.obsolete() == names(chain)


def test_a_retry_goes_on_where_the_chain_was_last_kept_and_counts_what_was_done():
    scheduler = StageScheduler(tree_of([None, 0, 1, 2], [3]), RATE)
    chain = scheduler.next(1)
    assert names(chain) == ["a00", "a01", "a02", "a03", "e00"]
    scheduler.note_kept(begun=["a02"], done=["a00"])
    scheduler.give_back(chain)
    rest = scheduler.next(1)
    assert names(rest) == ["a02", "a03", "e00"]
    scheduler.note_kept(done=["a02"])
    scheduler.retry(rest)
    last = scheduler.next(1)
    assert names(last) == ["a03", "e00"]
    assert scheduler.parent(last) == Kept("a02")
    done(scheduler, last)
    assert scheduler.flops_spent == scheduler.tree.flops
    assert_nothing_is_left(scheduler)


def test_a_retry_that_needs_its_parents_state_no_more_lets_it_go(fork, released):
    cell, *chains = sorted((fork.next(1) for _ in range(3)), key=len)
    done(fork, cell)
    for chain in chains:
        fork.note_kept(done=[chain[0].id])
        fork.retry(chain)
    assert released == {"a01": 1}


def test_steps_that_were_kept_before_are_not_counted_as_spent():
    scheduler = StageScheduler(FORK, RATE, kept={"a01": Progress.DONE, "a02": Progress.BEGUN})
    chain = next(c for c in (scheduler.next(1) for _ in range(3)) if c[0].id == "a02")
    scheduler.finish(chain, None, 1.0, spared_steps=3)
    assert scheduler.flops_spent == FORK.stages["a02"].flops // 4


# States that are lost


def send_children(scheduler):
    """Send the three children of the fork's trunk."""
    return {chain[0].id: chain for chain in (scheduler.next(1) for _ in range(3))}


def test_a_state_whose_node_goes_is_derived_again_before_what_waits_for_it(fork, released):
    fork.lose_nodes(["elsewhere"])
    assert fork.derived_again == 0
    fork.lose_nodes(["n0"])
    assert released == {"a01": 1}
    again = fork.next(1)
    assert names(again) == ["a00", "a01"]
    assert fork.next(1) is None, "who waits for it waits"
    done(fork, again)
    assert sorted(finish_all(fork)) == ["a02", "a03", "e00", "e01", "e02"]
    assert fork.flops_spent == FORK.flops + sum(FORK.stages[i].flops for i in ("a00", "a01"))
    assert_nothing_is_left(fork)


def test_a_state_that_the_driver_itself_holds_goes_with_no_node():
    scheduler = StageScheduler(FORK, RATE)
    done(scheduler, scheduler.next(1), node=None)
    scheduler.lose_nodes(["n0"])
    assert scheduler.derived_again == 0
    assert names(scheduler.next(1))[0] in ("a02", "a03", "e02")


def test_a_lost_state_of_which_a_copy_is_kept_needs_no_derivation():
    scheduler = StageScheduler(FORK, RATE)
    done(scheduler, scheduler.next(1), kept=["a01"])
    children = send_children(scheduler)
    given = scheduler.parent(children["a02"])
    assert isinstance(given, Holding)
    scheduler.lose_nodes(["n0"])
    scheduler.miss(children["a02"], given, ["a01"])
    scheduler.retry(children["a02"])
    again = scheduler.next(1)
    assert names(again) == names(children["a02"])
    assert scheduler.parent(again) == Kept("a01")
    assert scheduler.derived_again == 0


def test_derivation_begins_at_the_nearest_ancestor_whose_state_lives():
    tree = tree_of([None, 0, 1, 2, 0, 1, 2], [3, 4, 5, 6])  # a trunk a00 a01 a02 a03 with a branch after each
    scheduler = StageScheduler(tree, RATE)
    for node in ("n0", "n1", "n2"):
        chain = next(c for c in iter(lambda: scheduler.next(1), None) if c[0].id in ("a00", "a01", "a02"))
        done(scheduler, chain, node=node)
    scheduler.lose_nodes(["n2"])
    assert [scheduler.status(f"a{k:02d}") for k in range(3)] == [Status.DONE, Status.DONE, Status.READY]
    scheduler.lose_nodes(["n1"])
    assert [scheduler.status(f"a{k:02d}") for k in range(3)] == [Status.DONE, Status.READY, Status.WAITING]
    assert scheduler.derived_again == 2


def test_a_checkpoint_that_is_gone_or_damaged_is_derived_again_and_its_remains_are_dropped():
    scheduler = StageScheduler(FORK, RATE, kept={"a01": Progress.DONE})
    children = send_children(scheduler)
    scheduler.obsolete()
    for chain in children.values():
        scheduler.miss(chain, Kept("a01"), ["a01"])
        scheduler.retry(chain)
    again = scheduler.next(1)
    assert names(again) == ["a00", "a01"]
    done(scheduler, again)
    finish_all(scheduler)
    assert scheduler.derived_again == 2
    assert "a01" in scheduler.obsolete()


def test_a_begun_checkpoint_that_is_gone_makes_the_stage_start_from_its_parent_again():
    scheduler = StageScheduler(tree_of([None, 0], [1]), RATE, kept={"a01": Progress.BEGUN})
    chain = scheduler.next(1)
    scheduler.miss(chain, None, ["a01"])
    scheduler.retry(chain)
    assert names(scheduler.next(1)) == ["a00", "a01", "e00"]


def test_state_and_checkpoint_lost_together_are_derived_from_further_up():
    scheduler = StageScheduler(FORK, RATE)
    done(scheduler, scheduler.next(1), kept=["a01"])
    children = send_children(scheduler)
    given = scheduler.parent(children["a02"])
    scheduler.lose_nodes(["n0"])
    scheduler.miss(children["a02"], given, ["a01"])
    scheduler.retry(children["a02"])
    second = scheduler.next(1)
    assert scheduler.parent(second) == Kept("a01")
    scheduler.miss(second, Kept("a01"), ["a01"])
    scheduler.retry(second)
    assert names(scheduler.next(1)) == ["a00", "a01"]


def test_children_in_flight_are_not_disturbed_by_the_loss_of_the_state_that_they_have(fork):
    children = send_children(fork)
    fork.lose_nodes(["n0"])
    assert fork.derived_again == 0
    assert {fork.status(i) for i in children} == {Status.IN_FLIGHT}
    for chain in children.values():
        done(fork, chain, node="n1")
    assert_nothing_is_left(fork)
    assert fork.flops_spent == FORK.flops


def test_a_sibling_that_waits_does_not_disturb_one_that_works(fork):
    children = send_children(fork)
    fork.lose_nodes(["n0"])
    fork.miss(children["a03"], fork.parent(children["a03"]), ["a01"])
    fork.retry(children["a03"])
    again = fork.next(1)
    assert names(again) == ["a00", "a01"]
    assert fork.status("a02") is Status.IN_FLIGHT
    done(fork, children["a02"])
    done(fork, again)
    assert names(fork.next(1)) == ["a03", "e01"]
    assert fork.next(1) is None


def test_a_report_that_comes_late_does_not_lose_the_state_that_was_derived_since(fork):
    children = send_children(fork)
    given = fork.parent(children["a02"])
    fork.lose_nodes(["n0"])
    fork.miss(children["a02"], given, ["a01"])
    fork.retry(children["a02"])
    new = done(fork, fork.next(1), node="n1")
    fork.miss(children["a03"], given, ["a01"])
    fork.retry(children["a03"])
    chains = [fork.next(1), fork.next(1)]
    assert {chain[0].id for chain in chains} == {"a02", "a03"}
    assert all(fork.parent(chain) is new for chain in chains)


def test_a_state_may_be_lost_twice(fork):
    for _ in range(2):
        fork.lose_nodes(["n0"])
        done(fork, fork.next(1))
    assert fork.derived_again == 4
    assert fork.flops_spent == 3 * sum(FORK.stages[i].flops for i in ("a00", "a01"))
    finish_all(fork)
    assert_nothing_is_left(fork)


def test_a_state_that_is_lost_while_it_is_derived_is_derived_once(fork):
    fork.lose_nodes(["n0"])
    again = fork.next(1)
    fork.lose_nodes(["n0"])
    assert fork.next(1) is None
    done(fork, again)
    assert fork.derived_again == 2


def test_a_stage_that_cannot_be_derived_again_leaves_a_child_at_work_its_chance(fork):
    children = send_children(fork)
    fork.lose_nodes(["n0"])
    fork.miss(children["a03"], fork.parent(children["a03"]), ["a01"])
    fork.retry(children["a03"])
    lost = fork.fail(fork.next(1))
    assert {stage.id for stage in lost} == {"a00", "a01", "a03", "e01"}
    done(fork, children["e02"])
    fork.retry(children["a02"])
    assert names(fork.next(1)) == ["a00", "a01", "a02", "e00"], "and one try more, should it need it"


def test_a_child_that_failed_while_its_retry_was_due_stays_failed(fork):
    children = send_children(fork)
    fork.hold(children["a02"])
    fork.lose_nodes(["n0"])
    fork.miss(children["a03"], fork.parent(children["a03"]), ["a01"])
    fork.retry(children["a03"])
    assert "a02" in {stage.id for stage in fork.fail(fork.next(1))}
    fork.retry(children["a02"])
    assert fork.status("a02") is Status.FAILED
    assert fork.next(1) is None


# Cells that are wanted in turn


def test_cells_that_are_wanted_in_turn_train_nothing_twice_and_nothing_else(sweep):
    plan = make_plan(sweep())
    scheduler = StageScheduler(plan.tree, plan.rate, wanted=())
    assert scheduler.next(2) is None
    assert scheduler.unfinished == 0
    paid = set()
    for cell in plan.cells:
        scheduler.want([cell.id])
        towards = set(plan.tree.towards({cell.id}).stages)
        assert scheduler.unfinished == len(towards - paid)
        assert set(finish_all(scheduler)) == towards - paid
        paid |= towards
    assert scheduler.flops_spent == plan.flops_planned
    assert_nothing_is_left(scheduler)


def test_a_cell_that_is_wanted_twice_or_while_it_trains_is_trained_once(sweep):
    plan = make_plan(sweep())
    first, second = plan.cells[0].id, plan.cells[-1].id
    scheduler = StageScheduler(plan.tree, plan.rate, wanted=[first])
    begun = scheduler.next(2)
    scheduler.want([first, second])
    done(scheduler, begun)
    sent = [*names(begun), *finish_all(scheduler)]
    assert sorted(sent) == sorted(plan.tree.towards({first, second}).stages)


def test_a_trunk_that_fails_takes_the_dormant_cells_with_it():
    cells = FORK.cells()
    scheduler = StageScheduler(FORK, RATE, wanted=[cells[0].id])
    assert {stage.id for stage in scheduler.fail(scheduler.next(2))} == set(FORK.stages)
    scheduler.want([cell.id for cell in cells])
    assert scheduler.next(1) is None
    assert scheduler.unfinished == 0


def test_a_state_that_dormant_cells_start_from_is_kept_and_when_lost_derived_once_they_are_wanted():
    cells = FORK.cells()
    scheduler = StageScheduler(FORK, RATE, wanted=[cells[0].id])
    finish_all(scheduler)
    assert scheduler.holds("a01")
    scheduler.lose_nodes(["n0"])
    assert scheduler.next(1) is None, "nobody asks for it yet"
    scheduler.want([cells[1].id])
    assert finish_all(scheduler) == ["a00", "a01", "a03", "e01"]


def test_a_begun_stage_whose_checkpoint_is_gone_wakes_the_dormant_stages_before_it():
    cells = FORK.cells()
    scheduler = StageScheduler(FORK, RATE, kept={"a02": Progress.BEGUN}, wanted=[cells[0].id])
    chain = scheduler.next(1)
    scheduler.miss(chain, None, ["a02"])
    scheduler.retry(chain)
    assert finish_all(scheduler) == ["a00", "a01", "a02", "e00"]
    assert scheduler.derived_again == 0, "they were never done"


# Seeds that train together


@pytest.fixture
def seeds(sweep):
    """Six seeds of one cell."""
    return make_plan(sweep(overrides=["grid.params=1k", "grid.data_fraction=1", "grid.epochs=1", "grid.seeds=6"])).tree


def test_seeds_are_shared_out_among_the_idle_gangs(seeds):
    scheduler = StageScheduler(seeds, RATE)
    assert [len(scheduler.next_like(scheduler.next(3), idle)) for idle in (3, 2, 1)] == [1, 1, 1]


def test_seeds_of_which_a_checkpoint_may_be_there_do_not_train_together_with_the_others(seeds):
    kept, tried, *rest = seeds.children[None]
    scheduler = StageScheduler(seeds, RATE, kept={kept.id: Progress.BEGUN})
    sent = [scheduler.next(1) for _ in range(6)]
    for chain in sent:
        (scheduler.retry if chain[0] is tried else scheduler.give_back)(chain)
    chain = scheduler.next(1)
    alike = {c[0].id for c in [chain, *scheduler.next_like(chain, 1)]}
    assert alike in ({kept.id, tried.id}, {stage.id for stage in rest})


def test_a_seed_that_has_failed_trains_alone_from_then_on(seeds):
    scheduler = StageScheduler(seeds, RATE)
    chain = scheduler.next(1)
    like = scheduler.next_like(chain, 1)
    assert len(like) == 5
    for each in [chain, *like]:
        scheduler.part(each)
        scheduler.retry(each)
    assert scheduler.next_like(scheduler.next(1), 1) == []
