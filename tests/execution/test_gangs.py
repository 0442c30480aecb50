"""Gangs on a real Ray: exact rows, warm ranks, and what happens when one of them is lost."""

from __future__ import annotations

import math
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
import ray
from ray.exceptions import GetTimeoutError

from orchestrator.errors import BadInput, ScalawError
from orchestrator.execution.driver import MOST_FAILED_STARTS
from orchestrator.execution.pool.ray_pool import RayPool
from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.planning.plan import planned_gangs
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from workers.actor import ActorWorker
from workers.rank import Rank
from workers.training import group

IMAGES = """\
name: images
seed: 3
data: {source: digits, max_examples: 192, eval_examples: 32}
model: {family: resnet}
grid: {params: [1.4k], data_fraction: [0.5, 1.0], epochs: [1, 3]}
train: {optimizer: sgd, batch_size: 12, warmup_steps: 2, shift_pixels: 1, learning_rate: 0.02}
resources: {world_size: 3, workers: 3}
fit: {bootstrap: 0, laws: [product]}
"""
MEASURED = ("cell_id", "train_loss", "val_loss", "test_loss", "accuracy", "f1_macro", "world_size")


def rows(store):
    measured = open_store(str(store)).results().to_pylist()
    return {row["cell_id"]: tuple(row[name] for name in MEASURED) for row in measured}


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory):
    """The rows of the sweep when nothing happens, every cell trained alone."""
    store = tmp_path_factory.mktemp("undisturbed")
    result = run_sweep(parse_sweep(IMAGES), store=str(store), share=False, dashboard=False)
    assert (result.rows, result.failed) == (4, 0)
    return rows(store)


def heads(tree):
    """Return the first stages of the chains into which a tree falls."""
    found = list(tree.children[None])
    for stage in found:
        found += tree.children.get(tree.chain(stage)[-1].id, [])
    return found


@pytest.mark.slow
def test_rows_of_three_ranks_are_shared_exactly_by_one_gang_that_stays_warm(
    undisturbed, started, drivers, tmp_path, console
):
    plan = make_plan(parse_sweep(IMAGES))
    result = run_sweep(parse_sweep(IMAGES), store=str(tmp_path), console=console)
    assert result.flops_spent == plan.flops_planned < plan.flops_naive
    assert rows(tmp_path) == undisturbed
    assert {row[-1] for row in undisturbed.values()} == {3}
    assert [len(gang) for gang in started] == [3]
    assert drivers[0].scheduler.attempts == {stage.id: 1 for stage in heads(plan.tree)}


@pytest.mark.nightly
@pytest.mark.slow
def test_a_second_gang_that_the_cluster_has_no_room_for_is_not_waited_for(cluster, started, tmp_path, console):
    assert cluster.cluster_resources()["CPU"] == 3
    pairs = ["resources.world_size=2", "resources.workers=4", "data.max_examples=96"]
    sweep = parse_sweep(IMAGES, overrides=pairs)
    shared = run_sweep(sweep, store=str(tmp_path / "shared"), console=console)
    assert [len(gang) for gang in started] == [2, 2]
    alone = run_sweep(sweep, store=str(tmp_path / "alone"), share=False, console=console)
    assert (shared.rows, alone.rows) == (4, 4)
    assert rows(tmp_path / "shared") == rows(tmp_path / "alone")
    assert {row[-1] for row in rows(tmp_path / "shared").values()} == {2}


@pytest.mark.nightly
@pytest.mark.slow
def test_ranks_lost_in_the_middle_of_a_trunk_cost_steps_of_that_trunk_alone_and_change_no_number(
    undisturbed, started, drivers, when, tmp_path, console
):
    blows = [(2, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGSTOP)]
    sweep = parse_sweep(IMAGES, overrides=["resources.checkpoint_interval_s=0.001"])  # one after every step
    plan = make_plan(sweep)
    trunk = max((stage for stage in plan.tree if stage.kind == "trunk"), key=lambda stage: stage.steps)
    checkpoint, gangs, before = tmp_path / "checkpoints" / trunk.id, [], []

    def kept():
        return sorted(path.name for path in checkpoint.glob("*-*")) if checkpoint.exists() else []

    def be_ready():
        gangs.append(ray.get(started[-1]))
        before.append(kept())  # the gang before it is dead by now

    def strike():
        rank, blow = blows[len(gangs) - 1]
        os.kill(gangs[-1][rank], blow)
        if blow == signal.SIGSTOP:
            drivers[0].stage_timeout_s = 0.1

    struck = []
    for _ in blows:
        struck.append(when(lambda: len(started) > len(gangs), be_ready))
        struck.append(when(lambda: kept() != before[-1], strike))
    struck.append(when(lambda: len(started) > len(blows), lambda: setattr(drivers[0], "stage_timeout_s", None)))
    result = run_sweep(sweep, store=str(tmp_path), console=console)
    for future in struck:
        future.result()
    assert (result.rows, result.failed) == (4, 0)
    assert rows(tmp_path) == undisturbed
    attempts = {s.id: 1 + len(blows) * (trunk in plan.tree.chain(s)) for s in heads(plan.tree)}
    assert drivers[0].scheduler.attempts == attempts
    assert len(started) == 1 + len(blows)
    assert result.flops_spent < plan.flops_planned
    assert open_store(str(tmp_path)).checkpoints.kept() == {}
    assert not any(Path(f"/proc/{pid}").exists() for gang in gangs for pid in gang)


@pytest.mark.slow
def test_a_rank_does_not_wait_for_ever_for_a_rank_0_that_hangs(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(group, "TIMEOUT", timedelta(seconds=0.2))
    context = make_plan(parse_sweep(IMAGES)).context
    rank_1 = ActorWorker(
        "w",
        context,
        str(tmp_path),
        store_id=open_store(str(tmp_path), create=True).identity(),
        threads=1,
        on_gpu=False,
        rank=Rank(1, 2),
        checkpoint_interval_s=math.inf,
        store_patience_s=1.0,
    )
    hung = ray.remote(num_cpus=0)(lambda: time.sleep(600)).remote()
    with pytest.raises(GetTimeoutError):
        rank_1.join([hung])
    ray.cancel(hung, force=True)


@pytest.fixture
def failing_starts(monkeypatch):
    """Let the first starts of a run raise, one after another; the list of how many gangs were begun."""
    begun, start, failing = [], RayPool._start, ray.remote(num_cpus=0)(lambda: 1 / 0)

    def patch(count):
        def with_bad_luck(pool, name, role):
            start(pool, name, role)
            begun.append(name)
            if len(begun) <= count:
                pool._gangs[name].joining = {failing.remote(): 0}

        monkeypatch.setattr(RayPool, "_start", with_bad_luck)
        return begun

    return patch


@pytest.mark.slow
def test_starts_that_fail_now_and_then_do_not_end_a_sweep_and_too_many_in_a_row_do(
    cluster, sweep, tmp_path, console, failing_starts
):
    few = sweep(overrides=["grid.params=[1k]", "resources.workers=1"])
    begun = failing_starts(MOST_FAILED_STARTS - 1)
    result = run_sweep(few, store=str(tmp_path / "s"), console=console)
    assert (result.rows, result.failed, len(begun)) == (9, 0, MOST_FAILED_STARTS)
    begun.clear()
    failing_starts(MOST_FAILED_STARTS)
    with pytest.raises(ScalawError, match=r"scalaw-worker-0 can't start: .*division by zero"):
        run_sweep(few, store=str(tmp_path / "other"), console=console)
    assert len(begun) == MOST_FAILED_STARTS


@pytest.mark.slow
def test_a_cluster_that_holds_no_gang_is_refused(cluster, tmp_path, console):
    large = parse_sweep(IMAGES, overrides=["resources.world_size=12", "resources.workers=auto"])
    with pytest.raises(BadInput, match="too few for 12 workers"):
        run_sweep(large, store=str(tmp_path), address=None, console=console)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("resources.world_size=5", "world_size 5 doesn't divide train.batch_size 12"),
        ("resources.gpus_per_worker=0.5", "need a whole GPU each"),
    ],
)
def test_ranks_that_can_not_share_are_refused_before_anything_starts(override, words):
    with pytest.raises(BadInput, match=words):
        make_plan(parse_sweep(IMAGES, overrides=[override]))


@pytest.mark.parametrize(
    ("workers", "world_size", "cores", "gangs"),
    [(4, 2, 2, 2), (1, 2, 2, 1), (5, 2, 2, 2), ("auto", 2, 8, 4), ("auto", 4, 2, 1), (3, 1, 2, 3)],
)
def test_workers_form_as_many_gangs_as_they_fill(workers, world_size, cores, gangs):
    overrides = [f"resources.workers={workers}", f"resources.world_size={world_size}"]
    assert planned_gangs(parse_sweep(IMAGES, overrides=overrides).resources, cores) == gangs


def test_the_world_size_is_part_of_what_a_cell_is():
    ids = [
        {cell.id for cell in make_plan(parse_sweep(IMAGES, overrides=[f"resources.world_size={k}"])).cells}
        for k in (1, 2, 3)
    ]
    assert all(a.isdisjoint(b) for k, a in enumerate(ids) for b in ids[:k])
