"""Workers that evaluate and compress while others train: the same rows, from two pools."""

from __future__ import annotations

import pytest

from orchestrator.errors import BadInput
from orchestrator.execution.pool import elastic
from orchestrator.execution.pool.elastic import fitting_gangs
from orchestrator.execution.pool.protocol import WorkerNeeds
from orchestrator.execution.run import run_sweep
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store

TEXT = """\
name: apart
seed: 3
data: {source: python-stdlib, max_examples: 64, eval_examples: 16}
model: {family: transformer, context: 16}
grid:
  params: [1.5k, 3k]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2]
  compression:
    - {method: quantize, bits: 4, recover: {steps: 2}}
train: {batch_size: 8, warmup_steps: 2}
resources: {workers: 1}
fit: {laws: [product], bootstrap: 0}
"""
MEASURED = ("cell_id", "train_loss", "val_loss", "test_loss", "flops", "world_size", "model_bytes")
ONE_CPU = WorkerNeeds(cpus=1, gpus=0.0)


def outcome(store):
    rows = open_store(str(store)).results().to_pylist()
    return [tuple(row[name] for name in MEASURED) for row in rows], {row["worker"] for row in rows}


PAIR = ["resources.world_size=2", "resources.workers=2"]


@pytest.mark.slow
@pytest.mark.parametrize("world", [[], pytest.param(PAIR, marks=pytest.mark.nightly)])
def test_rows_are_the_same_and_the_losses_come_from_the_cpu_worker(cluster, drivers, tmp_path, console, world):
    usual = parse_sweep(TEXT, overrides=world)
    assert run_sweep(usual, store=str(tmp_path / "usual"), console=console).failed == 0
    apart = parse_sweep(TEXT, overrides=[*world, "resources.cpu_workers=1"])
    assert run_sweep(apart, store=str(tmp_path / "apart"), console=console).failed == 0

    rows, workers = outcome(tmp_path / "apart")
    assert len(rows) == 16
    assert rows == outcome(tmp_path / "usual")[0]
    assert workers == {"scalaw-cpu-worker-0"}
    tree = drivers[-1].scheduler.tree
    sent = {stage_id for stage_id, times in drivers[-1].scheduler.attempts.items() if times}
    assert {tree.role(tree.stages[stage_id]) for stage_id in sent} == {"train", "score"}


@pytest.mark.slow
def test_a_cluster_without_room_for_both_is_refused(cluster, tmp_path, console):
    sweep = parse_sweep(TEXT, overrides=["resources.workers=auto", "resources.cpu_workers=3"])
    with pytest.raises(BadInput, match=r"too few for one worker .* beside 3 CPU workers"):
        run_sweep(sweep, store=str(tmp_path / "store"), address="auto", console=console)


@pytest.mark.parametrize(("scorers", "gangs"), [(0, 4), (1, 3), (4, 0), (5, 0)])
def test_cpu_workers_take_room_from_those_that_train(monkeypatch, scorers, gangs):
    there = [{"Alive": True, "Labels": {}, "Resources": {"CPU": 4.0}}]
    monkeypatch.setattr(elastic.ray, "nodes", lambda: there)
    assert fitting_gangs(ONE_CPU, [ONE_CPU] * scorers) == gangs


def test_cpu_workers_leave_the_nodes_with_gpus_to_training(monkeypatch):
    box, plain = {"CPU": 2.0, "GPU": 2.0}, {"CPU": 2.0}
    there = [{"Alive": True, "Labels": {}, "Resources": node} for node in (box, plain)]
    monkeypatch.setattr(elastic.ray, "nodes", lambda: there)
    assert fitting_gangs(WorkerNeeds(cpus=1, gpus=1.0), [ONE_CPU] * 2) == 2
    assert fitting_gangs(WorkerNeeds(cpus=1, gpus=1.0), [ONE_CPU] * 3) == 1
