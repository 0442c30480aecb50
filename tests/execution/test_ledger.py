"""The driver's bookkeeping: order, retries, what is kept and dropped."""

from __future__ import annotations

import pytest

from orchestrator.execution.stage_scheduler import Ledger
from orchestrator.planning import make_plan


@pytest.fixture
def ledger(sweep):
    plan = make_plan(sweep())
    return Ledger(plan.tree, plan.rate)


def test_every_stage_becomes_ready_once_after_its_parent(ledger):
    seen = []
    while (stage := ledger.pop(2)) is not None:
        assert stage.parent is None or stage.parent in seen
        seen.append(stage.id)
        ledger.finish([stage], object(), 1.0)
    assert len(seen) == len(set(seen)) == len(ledger.tree)
    assert ledger.unfinished == 0
    assert ledger.states == {}
    assert ledger.flops_spent == sum(s.flops for s in ledger.tree)


def test_a_state_is_kept_until_its_last_child_is_done(ledger):
    root = ledger.pop(2)
    ledger.finish([root], "state", 1.0)
    children = ledger.tree.children[root.id]
    for child in children:
        assert ledger.states[root.id] == "state"
        ledger.finish([child], "child", 1.0)
    assert root.id not in ledger.states


def test_a_failed_stage_takes_its_descendants_and_nothing_else(ledger):
    root = ledger.pop(2)
    lost = ledger.fail(root)
    assert {s.id for s in lost} == {s.id for s in ledger.tree.below(root.id)}
    assert ledger.unfinished == len(ledger.tree) - len(lost) > 0


def test_the_estimate_is_corrected_by_what_was_measured(ledger):
    before = ledger.eta_s(1)
    stage = ledger.pop(2)
    planned_s = ledger.estimates.stages_s[stage.id]
    ledger.finish([stage], None, 10 * planned_s)
    assert ledger.eta_s(1) == pytest.approx(10 * (before - planned_s))


def finish_all(ledger):
    done = []
    while (stage := ledger.pop(2)) is not None:
        ledger.finish([stage], "state", 1.0)
        done.append(stage)
    return done


def test_cells_that_are_wanted_in_turn_train_nothing_twice_and_nothing_else(sweep):
    plan = make_plan(sweep())
    ledger = Ledger(plan.tree, plan.rate, wanted=())
    assert ledger.pop(2) is None
    assert ledger.unfinished == 0
    paid: set[str] = set()
    for cell in plan.cells:
        ledger.want([cell.id])
        towards = set(plan.tree.towards({cell.id}).stages)
        assert ledger.unfinished == len(towards - paid)
        assert {stage.id for stage in finish_all(ledger)} == towards - paid
        paid |= towards
    assert ledger.flops_spent == plan.flops_planned
    assert ledger.states == {}
    assert ledger.dormant == set()


def test_a_cell_that_is_wanted_twice_or_while_it_trains_is_trained_once(sweep):
    plan = make_plan(sweep())
    first, second = plan.cells[0].id, plan.cells[-1].id
    ledger = Ledger(plan.tree, plan.rate, wanted=[first])
    begun = ledger.pop(2)
    ledger.want([first, second])
    ledger.finish([begun], "state", 1.0)
    done = [begun, *finish_all(ledger)]
    assert sorted(stage.id for stage in done) == sorted(plan.tree.towards({first, second}).stages)


def test_a_trunk_that_fails_takes_the_dormant_cells_with_it(sweep):
    plan = make_plan(sweep())
    ledger = Ledger(plan.tree, plan.rate, wanted=[plan.cells[0].id])
    root = ledger.pop(2)
    lost = ledger.fail(root)
    assert {stage.id for stage in lost} == {stage.id for stage in plan.tree.below(root.id)}
    ledger.want([cell.id for cell in plan.cells])
    finish_all(ledger)
    assert ledger.unfinished == 0
    assert ledger.done.isdisjoint(ledger.failed)
