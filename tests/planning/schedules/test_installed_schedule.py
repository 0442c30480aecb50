"""The schedule that CONTRIBUTING.md writes down, in an installed package: it is planned and trained with."""

from __future__ import annotations

import json
import math

import pytest

TEXT = """
name: theirs
data: {source: digits, max_examples: 80, eval_examples: 8}
model: {family: resnet}
grid: {params: [2k], epochs: [1, 2]}
train: {optimizer: sgd, learning_rate: 0.5, batch_size: 8, warmup_steps: 2, schedule: 1-sqrt, cooldown_fraction: 0.5}
inference: {measure: false}
"""


@pytest.fixture
def run(install, how_to_add):
    (source,) = how_to_add("A schedule")
    return install({"square_root": source}, {"scalaw.schedules": "1-sqrt = my_package.square_root:SquareRoot"})


def rates(total, fraction=0.5, peak=0.5, warmup=2):
    fork = total - round(fraction * total)
    shares = [1.0 if k < fork else 1 - math.sqrt((k - fork) / (total - fork)) for k in range(total)]
    return [peak * min(1.0, (k + 1) / warmup) * share for k, share in enumerate(shares)]


def test_it_keeps_the_promises_and_is_planned_as_what_shares_a_trunk(run):
    found = json.loads(
        run(f"""
            import json
            from orchestrator import make_plan
            from orchestrator.planning.schedules.conformance import broken_promises
            from orchestrator.planning.schedules.schedule import schedule_named
            from orchestrator.spec import json_schema, parse_sweep

            plan = make_plan(parse_sweep({TEXT!r}, overrides=["train.decay_factor=0.5"]))
            print(json.dumps({{
                "broken": broken_promises(schedule_named("1-sqrt")),
                "stages": sorted([s.kind, s.start_step, s.stop_step] for s in plan.tree if s.steps),
                "compared": sorted(plan.to_json()["flops_by_schedule"]),
                "warnings": plan.warnings,
                "names": json_schema()["$defs"]["Train"]["properties"]["schedule"]["enum"],
            }}))
        """)
    )
    assert found["broken"] == []
    assert found["stages"] == [["cooldown", 5, 10], ["cooldown", 10, 20], ["trunk", 0, 5], ["trunk", 5, 10]]
    assert found["compared"] == ["1-sqrt", "wsd", "wsm"]
    assert [w for w in found["warnings"] if "no effect" in w] == [
        "<string>:6: train: decay_factor has no effect under schedule 1-sqrt: leave it out"
    ]
    assert found["names"] == ["wsd", "wsm", "cosine", "step", "constant", "1-sqrt"]


def test_a_misspelt_name_of_it_is_put_right(run):
    told = run(f"""
        from orchestrator.errors import BadInput
        from orchestrator.spec import parse_sweep
        try:
            parse_sweep({TEXT.replace("1-sqrt", "1-sqr")!r}, name="theirs.yaml")
        except BadInput as refusal:
            print(refusal)
    """)
    assert told == "theirs.yaml:6: train.schedule: can't be the text '1-sqr'; did you mean '1-sqrt'?\n"


@pytest.mark.slow
def test_it_is_trained_with(run):
    found = json.loads(
        run(f"""
            import json
            import torch
            from orchestrator import make_plan
            from orchestrator.spec import parse_sweep
            from workers.engine import TorchEngine

            rates, step = [], torch.optim.SGD.step
            def watched(self, *arguments, **keywords):
                rates.append(self.param_groups[0]["lr"])
                return step(self, *arguments, **keywords)
            torch.optim.SGD.step = watched
            plan = make_plan(parse_sweep({TEXT!r}, overrides=["grid.epochs=[2]"]))
            engine, state = TorchEngine(plan.context), None
            for stage in plan.tree:
                if stage.steps:
                    state = engine.train(stage, state)
            print(json.dumps(rates))
        """)
    )
    assert found == pytest.approx(rates(20))
