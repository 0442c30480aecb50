"""What a plan says of settings that will run, but hardly as meant."""

from __future__ import annotations

import pytest

from orchestrator.planning import make_plan
from orchestrator.planning.plan_warnings import IDLE
from orchestrator.planning.schedules.schedule import SCHEDULE_KEYS
from orchestrator.spec import parse_sweep
from orchestrator.spec.sections.train import Train

TEXT = """\
name: careful
data: {source: simulated, examples: 1k}
model: {family: simulated}
grid: {params: [1k, 3k], data_fraction: [0.1, 1.0]}
train: {batch_size: 10, warmup_steps: 5}
"""


def warnings(*overrides):
    return make_plan(parse_sweep(TEXT, name="careful.yaml", overrides=list(overrides))).warnings


def test_nothing_is_said_of_a_sweep_as_it_should_be():
    assert warnings() == []
    assert (
        warnings("train.warmup_steps=9", "grid.compression=[{method: prune, density: 0.5, recover: {steps: 10}}]") == []
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "train.warmup_steps=10",
            "train.warmup_steps: 2 of 4 cells end in the warmup of 10 steps (the shortest after 10)",
        ),
        (
            "grid.finetune={data: simulated, examples: [20, 40], epochs: [1], warmup_steps: 3}",
            "grid.finetune.warmup_steps: 4 of 8 cells end in the warmup of 3 steps (the shortest after 2)",
        ),
        (
            "grid.compression=[{method: quantize, bits: 4, recover: {steps: 1M}}]",
            "recovery of 'quantize 4 + 1000000 steps' takes up to 1e+05 times the training of the model itself",
        ),
        ("resources.world_size=10", "the 10 ranks of a cell take 10 cores; this machine has "),
        ("train.momentum=0.5", "train: momentum has no effect under optimizer adamw"),
        ("grid.recipes=[{}, {momentum: 0.5}]", "train: momentum has no effect under optimizer adamw"),
        ("train.decay_factor=0.5", "train: decay_factor has no effect under schedule wsd"),
    ],
)
def test_what_is_hardly_meant_is_said_with_its_key(override, words):
    found = warnings(override)
    assert len([warning for warning in found if words in warning]) == 1, found


def test_the_same_is_said_once_for_a_whole_sweep_read_back_from_its_canonical_form():
    sweep = parse_sweep(TEXT, overrides=["train.optimizer=sgd", "train.beta1=0.5"])
    again = type(sweep).model_validate(sweep.canonical())
    words = "train: beta1 has no effect under optimizer sgd: leave it out"
    assert make_plan(again).warnings == [f"careful: {words}"]
    assert make_plan(sweep).warnings == [f"<string>:5: {words}"]


def test_every_key_that_can_be_idle_is_a_key_of_train():
    assert {name for names in IDLE.values() for name in names} | {*SCHEDULE_KEYS} <= set(Train.model_fields)
