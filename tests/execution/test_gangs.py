"""Gangs on a real Ray: exact rows, warm ranks, and what happens when one of them is lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from orchestrator.errors import BadInput
from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.planning.plan import planned_gangs
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store

IMAGES = """\
name: images
seed: 3
data: {source: digits, max_examples: 192, eval_examples: 32}
model: {family: resnet}
grid: {params: [1.4k], data_fraction: [0.5, 1.0], epochs: [1, 3]}
train: {optimizer: sgd, batch_size: 12, warmup_steps: 2, shift_pixels: 1, learning_rate: 0.02}
resources: {world_size: 3, workers: 3, max_retries: 3}
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


@pytest.mark.slow
def test_rows_of_a_gang_of_three_are_shared_exactly_and_say_their_world_size(undisturbed, tmp_path, console):
    result = run_sweep(parse_sweep(IMAGES), store=str(tmp_path), console=console)
    assert result.flops_spent < make_plan(parse_sweep(IMAGES)).flops_naive
    assert rows(tmp_path) == undisturbed
    assert {row[-1] for row in undisturbed.values()} == {3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "blow"),
    [(0, signal.SIGKILL), (2, signal.SIGKILL), (1, signal.SIGSTOP)],
    ids=["rank 0 killed", "rank 2 killed", "rank 1 hung"],
)
def test_a_lost_rank_costs_its_stage_and_changes_no_number(undisturbed, pid_of, tmp_path, console, rank, blow):
    limit = ["resources.stage_timeout_s=10"] if blow == signal.SIGSTOP else []
    struck = []

    def strike():
        struck.append(pid_of(f"scalaw-worker-0-rank-{rank}"))
        assert len(rows(tmp_path)) < 4
        os.kill(struck[0], blow)

    thread = threading.Thread(target=strike)
    thread.start()
    result = run_sweep(parse_sweep(IMAGES, overrides=limit), store=str(tmp_path), console=console)
    thread.join()
    assert (result.rows, result.failed) == (4, 0)
    assert rows(tmp_path) == undisturbed
    assert max(row["attempt"] for row in open_store(str(tmp_path)).results().to_pylist()) <= 2
    assert not Path(f"/proc/{struck[0]}").exists()


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
