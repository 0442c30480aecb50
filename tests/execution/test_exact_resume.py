"""Whatever interrupts a sweep, and whenever: it goes on in the middle and ends in the same bits (I3, I6).

Workers are killed, sweeps stopped and nodes lost at steps that a seed draws, in every kind of stage: trunks, cooldowns,
merges with open windows, fine-tunings, and every compression that trains.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
from itertools import product

import pytest

import workers.engine
from orchestrator.execution import failure_policy
from tests.execution.local import MEASURED, LocalRun, new_store, rows
from workers.training.fused import LOSS_TOLERANCE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CHILDREN = f"""\
name: children
seed: 1
data: {{source: text, paths: [{argparse.__file__}], max_examples: 64, eval_examples: 16}}
model: {{family: transformer, context: 16}}
grid:
  params: [2k]
  data_fraction: [0.5, 1.0]
  compression:
    - {{method: quantize, bits: 4, recover: {{steps: 4}}}}
    - {{method: prune, density: 0.5, gradual: true, recover: {{steps: 5}}}}
    - {{method: low_rank, rank_ratio: 0.5, recover: {{steps: 4}}}}
    - {{method: distill, student_params: 1k, recover: {{steps: 5}}}}
    - method: chain
      steps:
        - {{method: prune, density: 0.5, recover: {{steps: 3}}}}
        - {{method: quantize, bits: 8, recover: {{steps: 3}}}}
train: {{batch_size: 8, warmup_steps: 2, learning_rate: 0.01}}
inference: {{measure: false}}
resources: {{checkpoint_interval_s: 0.003}}
"""
TUNED = f"""\
name: tuned
seed: 2
data: {{source: text, paths: [{argparse.__file__}], max_examples: 64, eval_examples: 16}}
model: {{family: transformer, context: 16, dropout: 0.1}}
grid:
  params: [2k]
  finetune:
    data: {{source: text, paths: [{json.__file__}, {pathlib.__file__}]}}
    examples: [16, 32]
    epochs: [1, 2]
  compression:
    - {{method: prune, density: 0.5, recover: {{steps: 3}}}}
train: {{batch_size: 8, warmup_steps: 2, learning_rate: 0.01}}
inference: {{measure: false}}
resources: {{checkpoint_interval_s: 0.003}}
"""
IMAGES = """\
name: images
seed: 3
data: {source: digits, max_examples: 64, eval_examples: 16}
model: {family: resnet}
grid:
  params: [1.4k]
  epochs: [1, 2]
  compression:
    - {method: prune, density: 0.5, pattern: structured, recover: {steps: 4}}
    - {method: quantize, bits: 4, recover: {steps: 4}}
train: {batch_size: 8, warmup_steps: 2, learning_rate: 0.01, shift_pixels: 1}
inference: {measure: false}
resources: {checkpoint_interval_s: 0.003}
"""
#: States of 1.2 MB and more, far above what Ray would put into a message.
LARGE = f"""\
name: large
seed: 5
data: {{source: text, paths: [{argparse.__file__}], max_examples: 48, eval_examples: 16}}
model: {{family: transformer, context: 16}}
grid:
  params: [100k]
  data_fraction: [0.5, 1.0]
  compression:
    - {{method: prune, density: 0.5, gradual: true, recover: {{steps: 4}}}}
train: {{batch_size: 8, warmup_steps: 2, learning_rate: 0.01}}
inference: {{measure: false}}
resources: {{checkpoint_interval_s: 0.003}}
"""
SEEDS = f"""\
name: seeds
seed: 4
data: {{source: text, paths: [{argparse.__file__}], max_examples: 96, eval_examples: 16}}
model: {{family: transformer, context: 16}}
grid: {{params: [2k], data_fraction: [0.5, 1.0], seeds: 3}}
train: {{batch_size: 8, warmup_steps: 2, learning_rate: 0.01, fuse: true}}
inference: {{measure: false}}
resources: {{checkpoint_interval_s: 0.003}}
"""


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(failure_policy, "_wait_s", lambda rule, times: 0.0)


@pytest.fixture(scope="module")
def undisturbed(one_thread, tmp_path_factory):
    """What the cells of a sweep measure when nothing happens; trained once."""
    known = {}

    def found(text, *overrides):
        key = (text, overrides)
        if key not in known:
            store = new_store(tmp_path_factory.mktemp("undisturbed"))
            run = LocalRun(text, store, overrides=list(overrides)).run()
            known[key] = rows(store)
            assert len(known[key]) == len(run.plan.cells)
            assert not any(row[0] == "failed" for row in known[key].values())
            assert store.checkpoints.kept() == {}
        return known[key]

    return found


class Trouble:
    """Interrupts a sweep at steps that a seed draws, so often, and at the first step of one kind of stage besides.

    How many steps a kind of stage takes under interruptions depends on the machine; that the kind is hit must not.
    """

    def __init__(self, how, seed, times, within=10, surely=None):
        self.how, self.left, self.chance, self.within = how, times, random.Random(f"{how}/{seed}"), within
        self.surely, self.hit = surely, []
        self._next()

    def _next(self):
        self.wait = self.chance.randrange(1, self.within)

    def __call__(self, run, gang, stage, step):
        self.wait -= 1
        if stage.kind == self.surely:
            self.surely = None
        elif self.wait > 0 or not self.left:
            return
        else:
            self.left -= 1
            self._next()
        self.hit.append(stage.kind)
        if self.how == "kill":
            run.pool.kill(gang)
        elif self.how == "lose":
            run.pool.lose_node(run.pool.node_of(gang))
        else:
            run.stop.asked = True
            run.pool.stop_soon()


def resumed(text, store, trouble, *overrides, spill=False):
    """Run a sweep again and again until it is through; return the drivers."""
    runs = []
    while not runs or runs[-1].scheduler.unfinished:
        runs.append(
            LocalRun(
                text,
                store,
                overrides=list(overrides),
                on_step=trouble,
                budget_bytes=0 if spill else 1 << 40,
                gangs=2 if trouble.how == "lose" else 1,
                nodes=("n0", "n1") if trouble.how == "lose" else ("n0",),
            ).run()
        )
        assert len(runs) <= 30
    assert trouble.left == 0
    assert store.checkpoints.kept() == {}
    return runs


@pytest.mark.parametrize(
    ("how", "schedule", "spill"),
    [
        *product(["kill", "stop"], ["wsm", "wsd"], [False, True]),
        ("lose", "wsm", True),
        ("lose", "wsd", False),
    ],
)
def test_a_sweep_with_compressed_children_ends_in_the_same_bits(undisturbed, tmp_path, how, schedule, spill):
    override = f"train.schedule={schedule}"
    store, trouble = new_store(tmp_path), Trouble(how, f"{schedule}/{spill}", times=6, surely="compress")
    resumed(CHILDREN, store, trouble, override, spill=spill)
    assert rows(store) == undisturbed(CHILDREN, override)
    assert "compress" in trouble.hit


@pytest.mark.parametrize(("how", "schedule"), [("kill", "wsm"), ("stop", "wsd"), ("lose", "wsm")])
def test_a_sweep_with_fine_tuned_children_ends_in_the_same_bits(undisturbed, tmp_path, how, schedule):
    override = f"train.schedule={schedule}"
    store, trouble = new_store(tmp_path), Trouble(how, schedule, times=6, within=7, surely="finetune")
    resumed(TUNED, store, trouble, override)
    assert rows(store) == undisturbed(TUNED, override)
    assert "finetune" in trouble.hit


def test_a_sweep_of_images_with_batch_norm_ends_in_the_same_bits(undisturbed, tmp_path):
    override = "train.schedule=wsm"
    store, trouble = new_store(tmp_path), Trouble("kill", "images", times=5)
    resumed(IMAGES, store, trouble, override, spill=True)
    assert rows(store) == undisturbed(IMAGES, override)


def test_states_of_more_than_a_megabyte_end_in_the_same_bits(undisturbed, tmp_path):
    override = "train.schedule=wsm"
    store, trouble = new_store(tmp_path), Trouble("lose", "large", times=4, within=6)
    (run,) = resumed(LARGE, store, trouble, override)
    assert rows(store) == undisturbed(LARGE, override)
    assert run.driver.memory.peak_bytes > 1_000_000


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_seeds_that_train_as_one_model_end_within_its_tolerance_and_in_the_same_bits_together(
    undisturbed, tmp_path, how, monkeypatch
):
    monkeypatch.setattr(workers.engine, "fusing_pays", lambda *models: True)
    fused, trained = 0, workers.engine.train_fused

    def counting(modules, *arguments, **keywords):
        nonlocal fused
        fused += len(modules)
        return trained(modules, *arguments, **keywords)

    monkeypatch.setattr(workers.engine, "train_fused", counting)
    alike = undisturbed(SEEDS)
    fused = 0
    store, trouble = new_store(tmp_path), Trouble(how, "seeds", times=2, within=7)
    resumed(SEEDS, store, trouble)
    assert fused >= 3
    found = rows(store)
    assert found.keys() == alike.keys()
    loss = MEASURED.index("val_loss")
    for cell_id, row in found.items():
        assert row[loss] == pytest.approx(alike[cell_id][loss], abs=LOSS_TOLERANCE["fp32"])
    if how == "stop":
        assert found == alike, "all were kept together, and go on together"
