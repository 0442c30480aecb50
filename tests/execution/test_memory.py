"""What the driver counts with: room for states, and how long stages will take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.execution.estimates import WORTH_REORDERING, Estimates
from orchestrator.execution.state_memory import StateMemory
from orchestrator.planning import make_plan
from orchestrator.planning.cost import Rate, estimate_s
from orchestrator.planning.memory import state_bytes
from orchestrator.spec import parse_sweep
from workers.engine import TorchEngine

TINY = """\
name: tiny
seed: 1
data: {source: SOURCE, max_examples: 64, eval_examples: 16}
model: {family: FAMILY}
grid: {params: [PARAMS], epochs: [1, 2]}
train: {batch_size: 8, warmup_steps: 2, learning_rate: 0.01}
"""
RATE = Rate(flops_per_s=1e9, step_s=1e-3, stage_s=0.1)


@given(
    budget=st.integers(1, 100),
    events=st.lists(st.tuples(st.sampled_from(["send", "finish", "release"]), st.integers(0, 5), st.integers(0, 70))),
)
def test_states_never_take_more_than_the_budget_and_are_spilled_only_where_there_is_no_room(budget, events):
    memory, reserved, live, refused, most = StateMemory(budget), {}, {}, 0, 0
    for event, stage, size in events:
        if event == "send" and stage not in reserved | live:
            fits = sum(reserved.values()) + sum(live.values()) + size <= budget
            assert memory.reserve(str(stage), size) == fits
            reserved |= {stage: size} if fits else {}
            refused += not fits
        elif event == "finish" and stage not in live:
            live[stage] = min(size, reserved.pop(stage, 0))  # one that was refused leaves nothing in memory
            memory.settle(str(stage), live[stage])
        elif event == "release":
            memory.release(str(stage))
            reserved.pop(stage, None)
            live.pop(stage, None)
        most = max(most, sum(live.values()))
        assert memory.live_bytes == sum(live.values())
        assert memory.live_bytes <= budget
    assert (memory.peak_bytes, memory.spilled) == (most, refused)
    for stage in range(6):
        memory.release(str(stage))
    assert memory.live_bytes == 0
    assert memory.reserve("all of it", budget)


def test_room_reserved_for_a_stage_in_flight_is_not_given_to_another():
    memory = StateMemory(100)
    assert memory.reserve("a", 60)
    assert not memory.reserve("b", 60)
    memory.settle("a", 30)
    assert memory.reserve("b", 60)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("schedule", ["wsd", "wsm"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize(
    ("family", "source", "params"), [("transformer", "python-stdlib", "2k"), ("resnet", "digits", "1.4k")]
)
def test_the_size_that_is_reserved_is_that_of_the_trained_state(family, source, params, optimizer, schedule):
    text = TINY.replace("FAMILY", family).replace("SOURCE", source).replace("PARAMS", params)
    plan = make_plan(parse_sweep(text, overrides=[f"train.optimizer={optimizer}", f"train.schedule={schedule}"]))
    engine, states, seen = TorchEngine(plan.context), {None: None}, set()
    for stage in plan.tree:
        if stage.kind == "evaluate":
            assert state_bytes(stage) == 0
            continue
        state = states[stage.id] = engine.train(stage, states[stage.parent])
        seen.add((stage.kind, len(stage.windows)))
        buffers = {name for name, _ in engine.build(stage).named_buffers()}
        uncounted = sum(
            array.nbytes for group in (state.model, *state.sums.values()) for k, array in group.items() if k in buffers
        )
        assert state.nbytes - uncounted == pytest.approx(state_bytes(stage), rel=0.05)
    assert seen == ({("trunk", 0), ("cooldown", 0)} if schedule == "wsd" else {("trunk", 1), ("merge", 0)})


@pytest.fixture
def estimates(sweep):
    """Stages of three sizes, and their planned seconds."""
    return Estimates(make_plan(sweep()).tree, RATE)


def of_size(estimates, params):
    return [stage for stage in estimates.tree if stage.shape.params_total == params]


def planned_s(stages):
    return sum(estimate_s(stage, RATE) for stage in stages)


def test_a_size_is_corrected_by_its_own_times_and_the_others_by_all_of_them(estimates):
    small, middle, large = (of_size(estimates, params) for params in (1_000, 3_000, 10_000))
    estimates.close(small[:2])
    assert estimates.learn(small[:2], 2 * planned_s(small[:2]))
    estimates.close(middle[:2])
    assert estimates.learn(middle[:2], 5 * planned_s(middle[:2]))
    done = planned_s(small[:2] + middle[:2])
    overall = (2 * planned_s(small[:2]) + 5 * planned_s(middle[:2])) / done
    assert 2 < overall < 5
    for stages, factor in ((small, 2), (middle, 5), (large, overall)):
        for stage in stages:
            assert estimates.stages_s[stage.id] == pytest.approx(factor * estimate_s(stage, RATE))
    left = 2 * planned_s(small[2:]) + 5 * planned_s(middle[2:]) + overall * planned_s(large)
    assert estimates.left_s == pytest.approx(left)
    assert estimates.measured_s == pytest.approx(overall * done)


def test_paths_are_ordered_anew_only_for_a_correction_that_is_worth_it(estimates):
    stage = of_size(estimates, 1_000)[0]
    before = dict(estimates.stages_s)
    assert not estimates.learn([stage], (1 + 0.9 * WORTH_REORDERING) * planned_s([stage]))
    assert estimates.stages_s == before
    assert estimates.learn([stage], (1 + 2 * WORTH_REORDERING) * planned_s([stage]))
    assert estimates.stages_s != before
    assert not estimates.learn([stage], 1.5 * planned_s([stage]))


def test_nothing_is_left_once_every_stage_is_closed(estimates):
    total = estimates.left_s
    assert total == pytest.approx(planned_s(estimates.tree))
    estimates.close(estimates.tree)
    assert estimates.left_s == pytest.approx(0, abs=1e-9 * total)
