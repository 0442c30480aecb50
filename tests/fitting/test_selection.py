"""Choosing runs by what they tell for what they cost: exact gains, budgets that hold, targets that get known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.fitting.selection.costs import Costs
from orchestrator.fitting.selection.posterior import belief_in, first_belief
from orchestrator.fitting.selection.replay import replay
from orchestrator.fitting.selection.selector import Selector

RUNS = st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=5, unique=True), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def points(grid):
    axes = grid(n=list(np.geomspace(1e5, 1e8, 6)), d=list(np.geomspace(1e6, 1e9, 6)))
    noise = np.random.default_rng(0).normal(0, 0.003, axes["n"].size)
    return {**axes, "loss": (1.7 + 400 / axes["n"] ** 0.34 + 900 / axes["d"] ** 0.36) * np.exp(noise)}


def selector(points, **more):
    columns = {name: points[name] for name in "nd"}
    cost = points["n"] * points["d"]
    targets = np.flatnonzero(cost > np.quantile(cost, 0.9))
    costs = Costs.apart(cost)
    given_ = {"budget": 0.02 * costs.total, **more}
    return Selector(columns, np.arange(cost.size), targets, costs, **given_)


def finished(chooser, points):
    chosen = []
    while batch := chooser.next_batch({choice.point: points["loss"][choice.point] for choice in chosen}):
        chosen += batch
    return chosen


@given(runs=RUNS, order=st.permutations(range(8)))
@settings(max_examples=60, deadline=None)
def test_a_part_is_paid_once_whatever_the_order(runs, order):
    cost = {part: float(2**part) for part in range(8)}
    costs, paid = Costs(runs, cost), set()
    for run in [k for k in order if k < len(runs)]:
        expected = sum(cost[part] for part in set(runs[run]) - paid)
        assert costs.marginal()[run] == expected
        assert costs.pay(run) == expected
        paid |= set(runs[run])
        assert costs.spent == sum(cost[part] for part in paid)
        assert costs.marginal()[run] == 0


@pytest.mark.parametrize("law", [None, "product", "chinchilla"])
def test_a_gain_is_what_measuring_takes_off_the_targets_variance(points, law):
    rows, targets = np.arange(0, 30, 3), np.array([34, 35])
    columns = {name: points[name] for name in "nd"}
    make = (
        (lambda: first_belief(columns, rows)) if law is None else lambda: belief_in(law, columns, points["loss"], rows)
    )
    for point in (1, 20, 35):
        belief = make()
        before, gain = belief.variance(targets).mean(), belief.gains(np.array([point]), targets)[0]
        belief.learn(point)
        assert belief.variance(targets).mean() == pytest.approx(before * (1 - gain), rel=1e-6)
        assert 0 < gain < 1


def test_measuring_one_by_one_is_measuring_at_once(points):
    columns = {name: points[name] for name in "nd"}
    at_once = first_belief(columns, np.array([3, 17, 30]))
    one_by_one = first_belief(columns, np.zeros(0, dtype=np.intp))
    for point in (30, 3, 17):
        one_by_one.learn(point)
    everywhere = np.arange(36)
    np.testing.assert_allclose(one_by_one.variance(everywhere), at_once.variance(everywhere), rtol=1e-9)


def test_a_law_that_the_rows_can_not_carry_believes_nothing(points):
    columns = {name: points[name] for name in "nd"}
    assert belief_in("chinchilla", columns, points["loss"], np.array([0, 1, 2])) is None
    assert belief_in("transfer", columns, points["loss"], np.arange(36)) is None
    assert belief_in("product", columns, points["loss"], np.zeros(0, dtype=np.intp)) is None


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_the_budget_holds_and_no_run_is_chosen_twice(points, share):
    costs = Costs.apart(points["n"] * points["d"])
    chooser = selector(points, budget=share * costs.total)
    chosen = [choice.point for choice in finished(chooser, points)]
    assert len(chosen) == len(set(chosen)) > 0
    assert chooser.costs.spent <= share * costs.total * (1 + 1e-9)
    assert chooser.costs.spent == pytest.approx((points["n"] * points["d"])[chosen].sum())


def test_the_same_seed_chooses_the_same_runs(points):
    first, again = (finished(selector(points, seed=3), points) for _ in range(2))
    assert first == again


def test_a_target_that_is_known_well_enough_ends_the_selection(points):
    wide, narrow = selector(points, interval=0.5), selector(points, interval=0.05)
    few, more = finished(wide, points), finished(narrow, points)
    assert len(few) < len(more) < len(finished(selector(points), points)) + 1
    assert wide.width <= 0.5


def test_runs_that_share_a_trunk_are_taken_together(grid):
    axes = grid(n=[1e5, 1e6], d=[1e6, 1e7, 1e8])
    parts = [[f"trunk {k // 3}", f"cell {k}"] for k in range(6)]
    cost = {"trunk 0": 100.0, "trunk 1": 1000.0, **{f"cell {k}": 1.0 for k in range(6)}}
    chooser = Selector(axes, np.arange(6), np.array([2, 5]), Costs(parts, cost), 103.0, batch=3)
    assert sorted(choice.point for choice in chooser.next_batch({})) == [0, 1, 2]


def test_runs_that_are_there_or_lost_are_not_chosen_and_the_former_are_paid(points):
    chooser = selector(points, budget=float("inf"), batch=100)
    chooser.take(4)
    chosen = {choice.point for choice in chooser.next_batch({4: points["loss"][4]}, lost=[7, 9])}
    assert chosen == set(range(36)) - {4, 7, 9}
    assert chooser.costs.spent == pytest.approx(
        (points["n"] * points["d"]).sum() - (points["n"] * points["d"])[[7, 9]].sum()
    )


def test_a_fiftieth_of_the_cost_predicts_the_dear_runs_nearly_as_well_as_all(points):
    table, cost = pa.table(points), points["n"] * points["d"]
    laws = ["product", "product_floor", "chinchilla", "kaplan"]
    few = replay(table, cost, budget_fraction=0.2, laws=laws, bootstrap=50)
    everything = replay(table, cost, budget_fraction=1.0, laws=laws, bootstrap=50)
    assert len(everything.choices) == everything.candidates == 25
    assert few.cost <= 0.2 * few.total_cost
    assert few.r2 > 0.95
    assert few.rmse_log < 0.02
    assert few.report.near[0] == "chinchilla"
    assert everything.r2 > 0.99


def test_what_can_not_be_replayed_is_refused(points):
    table, cost = pa.table(points), points["n"] * points["d"]
    with pytest.raises(BadInput, match="no law can be fitted to the 0 rows that the budget pays for"):
        replay(table, cost, budget_fraction=1e-9, bootstrap=0)
    with pytest.raises(BadInput, match="other axes than n, d; give both tables the same"):
        replay(table, cost, ahead=table.drop_columns("d"))
    same = pa.table({"n": [1e6] * 3, "d": [1e6] * 3, "loss": [2.0, 2.1, 2.2]})
    with pytest.raises(BadInput, match="no axis varies"):
        replay(same, np.ones(3))
