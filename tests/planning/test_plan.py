"""The plan: FLOPs, hours and price of a sweep before it is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.planning import make_plan
from orchestrator.planning.cost import Rate, estimate_s, schedule_s


def test_flops_are_those_of_the_steps(sweep, transformer_yaml):
    plan = make_plan(sweep(transformer_yaml))
    per_example = plan.cells[0].shape.train_flops
    assert plan.flops_naive == 16 * (16 + 32 + 48 + 32 + 64 + 96) * per_example
    assert plan.flops_planned == sum(s.steps for s in plan.tree) * 16 * per_example
    assert plan.to_json()["sharing_ratio"] == plan.flops_naive / plan.flops_planned > 1.3


def test_training_alone_shares_nothing(sweep, transformer_yaml):
    plan = make_plan(sweep(transformer_yaml), share=False)
    assert plan.flops_planned == plan.flops_naive


def test_simulated_stages_take_the_time_they_sleep(sweep):
    plan = make_plan(sweep(overrides=["model.stage_s=10", "resources.workers=1"]))
    assert plan.est_s == pytest.approx(len(plan.tree) * 10, rel=1e-3)


def test_price_is_gpu_hours_times_their_price(sweep):
    settings = [
        "model.stage_s=10",
        "resources.workers=2",
        "resources.gpus_per_worker=0.5",
        "resources.price_per_gpu_hour=3",
    ]
    document = make_plan(sweep(overrides=settings)).to_json()
    assert document["est_price"] == pytest.approx(document["est_hours"] * 2 * 0.5 * 3)
    assert document["est_hours"] > 0


@pytest.mark.parametrize("workers", [1, 2, 5, 64])
def test_a_schedule_is_no_shorter_than_its_bounds_and_less_than_twice_them(sweep, workers):
    tree = make_plan(sweep()).tree
    rate = Rate(flops_per_s=1e9, step_s=1e-3, stage_s=1.0)
    seconds = {s.id: estimate_s(s, rate) for s in tree}
    bound = max(sum(seconds.values()) / workers, max(tree.remaining_s(seconds).values()))
    assert bound <= schedule_s(tree, seconds, tree.remaining_s(seconds), workers) * (1 + 1e-9) < 2 * bound


def test_planning_ten_thousand_cells_imports_neither_ray_nor_torch():
    grid = {"params": list(range(1000, 1100)), "data_fraction": [k / 100 for k in range(1, 26)], "epochs": [1, 2, 3, 4]}
    grid = f"params: {list(range(1000, 1100))}, data_fraction: {[k / 100 for k in range(1, 26)]}, epochs: [1, 2, 3, 4]"
    text = f"name: a\ndata: {{source: simulated}}\nmodel: {{family: simulated}}\ngrid: {{{grid}}}\n"
    code = (
        "import sys; from orchestrator import make_plan; from orchestrator.spec import parse_sweep\n"
        f"assert make_plan(parse_sweep({text!r})).to_json()['cells'] == 10000\n"
        "assert not {'ray', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_plan_says_what_other_schedules_cost_and_why_cells_stay_alone(sweep, transformer_yaml):
    document = make_plan(sweep(transformer_yaml)).to_json()
    assert document["why_alone"] is None
    assert document["flops_by_schedule"]["wsd"] == document["flops_planned"] > document["flops_by_schedule"]["wsm"]
    assert sum(document["flops_by_kind"].values()) == document["flops_planned"]
    alone = make_plan(sweep(transformer_yaml, overrides=["train.schedule=cosine"])).to_json()
    assert "schedule cosine" in alone["why_alone"]
    assert alone["sharing_ratio"] == 1.0


def test_bounds_fall_with_workers_until_the_critical_path(sweep):
    plan = make_plan(sweep(overrides=["model.stage_s=10"]))
    document, depth = plan.to_json(), {None: 0}
    for stage in plan.tree:
        depth[stage.id] = depth[stage.parent] + 1
    bounds = list(document["lower_bound_hours"].values())
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == document["critical_path_hours"] == pytest.approx(max(depth.values()) * 10.001 / 3600)
