"""What goes wrong where sweeps run, each once on a real Ray: rows equal to the bit, no failure row, and one sentence.

States are larger than a megabyte, and every setting is the default one unless the story is about it.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.execution.run import run_sweep
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from orchestrator.store.checkpoints import Progress

from ..cluster.nodes import Nodes
from .live import live, measured

pytestmark = pytest.mark.slow

STORY = """\
name: story
seed: 3
data: {source: python-stdlib, max_examples: 1024, eval_examples: 16}
model: {family: transformer, context: 32}
grid:
  params: [100k]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2]
  compression:
    - {method: quantize, bits: 4}
    - {method: prune, density: 0.5, recover: {steps: 20}}
train: {batch_size: 8, warmup_steps: 2}
resources: {workers: 2, checkpoint_interval_s: 0.3}
inference: {measure: false}
fit: {laws: [product], bootstrap: 0}
"""
CELLS = 12


@pytest.fixture(scope="session")
def story(tmp_path_factory) -> Path:
    """The sweep of all stories, as a file."""
    path = tmp_path_factory.mktemp("story") / "story.yaml"
    path.write_text(STORY)
    return path


@pytest.fixture(scope="session")
def undisturbed(cluster, tmp_path_factory):
    """What its cells measure when nothing happens."""
    store = tmp_path_factory.mktemp("undisturbed")
    result = run_sweep(parse_sweep(STORY), store=str(store), dashboard=False)
    assert (result.rows, result.failed) == (CELLS, 0)
    assert result.peak_state_bytes > 1_000_000, "states are as large as those of users"
    return measured(store)


def in_one_sentence(ended, words):
    """Assert that a run said something once, and nothing in the language of programs."""
    assert ended.err.count(words) == 1, ended.err
    assert not [line for line in ended.err.splitlines() if line.startswith(("Traceback", "  File ", "\x1b["))]
    return True


def left_clean(store: Path, rows) -> bool:
    """Assert that all is there, equal, and nothing beside it."""
    assert measured(store) == rows
    assert open_store(str(store)).checkpoints.kept() == {}
    return True


@pytest.mark.nightly
def test_a_killed_worker_costs_no_cell_and_no_number_and_a_second_driver_is_refused_meanwhile(
    story, undisturbed, tmp_path
):
    store = tmp_path / "s"
    with live(story, store) as run:
        run.until_rows(1)
        run.kill("worker")
        second = subprocess.run(
            [sys.executable, "-m", "scalaw", "run", str(story), "--store", str(store)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        ended = run.wait()
    assert ended.code == 0
    assert left_clean(store, undisturbed)
    assert in_one_sentence(ended, "story: 12 of 12 cells to train")
    assert second.returncode == 2
    said = rf"another driver is at work on story in \S+: process \d+ on {socket.gethostname()}, last heard of \d+ s ago"
    assert re.search(said, second.stderr), second.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("part", ["gcs", *(pytest.param(p, marks=pytest.mark.nightly) for p in ("raylet", "agent"))])
def test_a_ray_of_our_own_that_loses_a_part_is_started_anew_and_the_sweep_goes_on(story, undisturbed, tmp_path, part):
    with live(story, tmp_path / "s") as run:
        run.until_rows(1)
        run.kill(part)
        ended = run.wait()
    assert ended.code == 0
    assert left_clean(tmp_path / "s", undisturbed)
    assert in_one_sentence(ended, "starting Ray anew")


@pytest.mark.parametrize("whom", ["what was started", pytest.param("the driver in it", marks=pytest.mark.nightly)])
def test_a_killed_driver_leaves_nothing_behind_and_the_same_command_goes_on(story, undisturbed, tmp_path, whom):
    with live(story, tmp_path / "s") as run:
        run.until_rows(1)
        os.kill(run.pid if whom == "what was started" else run.driver, signal.SIGKILL)
        run.process.wait(30)
        run.until_gone()
        assert run.process.returncode == (-signal.SIGKILL if whom == "what was started" else 3)
    there = measured(tmp_path / "s")
    assert 0 < len(there) < CELLS
    with live(story, tmp_path / "s") as run:
        ended = run.wait()
    assert ended.code == 0
    assert left_clean(tmp_path / "s", undisturbed)
    assert in_one_sentence(ended, f"story: {CELLS - len(there)} of 12 cells to train")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("number", "to"),
    [
        (signal.SIGTERM, "its group"),
        *(
            pytest.param(*case, marks=pytest.mark.nightly)
            for case in (
                (signal.SIGHUP, "its group"),
                (signal.SIGINT, "its group"),
                (signal.SIGHUP, "the driver"),
                (signal.SIGTERM, "the driver"),
            )
        ),
    ],
)
def test_whoever_stops_a_sweep_keeps_its_states(story, undisturbed, tmp_path, number, to):
    interval = ("--set", "resources.checkpoint_interval_s=600")
    with live(story, tmp_path / "s", *interval) as run:
        run.until_rows(1)
        if to == "the driver":
            os.kill(run.pid, number)
        else:
            os.killpg(run.pid, number)
        ended = run.wait()
    assert ended.code == 130
    assert in_one_sentence(ended, "run the same command again to go on")
    kept = open_store(str(tmp_path / "s")).checkpoints.kept()
    assert set(kept.values()) & {Progress.BEGUN, Progress.DONE}, "the interval alone would have kept nothing"
    with live(story, tmp_path / "s", *interval) as run:
        assert run.wait().code == 0
    assert left_clean(tmp_path / "s", undisturbed)


@pytest.mark.nightly
def test_states_that_memory_has_no_room_for_go_to_checkpoints_and_change_no_number(
    cluster, undisturbed, tmp_path, console
):
    sweep = parse_sweep(STORY, overrides=["resources.state_memory_bytes=2500000"])
    result = run_sweep(sweep, store=str(tmp_path / "s"), console=console)
    assert result.spilled > 0
    assert 1_000_000 < result.peak_state_bytes <= 2_500_000
    assert left_clean(tmp_path / "s", undisturbed)


@pytest.mark.nightly
def test_a_store_that_takes_nothing_for_a_while_is_waited_for(story, undisturbed, tmp_path):
    store, folders = tmp_path / "s", ("results", "checkpoints", "logs")
    with live(story, store) as run:
        run.until_rows(1)
        for name in folders:  # a folder that is none: root may write wherever it likes
            (store / name).rename(tmp_path / name)
            (store / name).write_text("in the way")
        time.sleep(8)
        assert run.process.poll() is None
        for name in folders:
            (store / name).unlink()
            (tmp_path / name).rename(store / name)
        ended = run.wait()
    assert ended.code == 0
    assert left_clean(store, undisturbed)


@pytest.mark.nightly
def test_a_store_that_stays_away_ends_the_run_with_3_and_the_same_command_goes_on(story, undisturbed, tmp_path):
    store = tmp_path / "s"
    with live(story, store, "--set", "resources.store_patience_s=4") as run:
        run.until_rows(1)
        (store / "results").rename(tmp_path / "results")
        (store / "results").write_text("in the way")
        ended = run.wait()
    assert ended.code == 3
    assert in_one_sentence(ended, "run the same command again")
    (store / "results").unlink()
    (tmp_path / "results").rename(store / "results")
    with live(story, store) as run:
        assert run.wait().code == 0
    assert left_clean(store, undisturbed)


@pytest.mark.nightly
def test_a_store_that_vanishes_ends_the_run_at_once_and_nothing_is_made_in_its_place(story, undisturbed, tmp_path):
    store = tmp_path / "s"
    with live(story, store) as run:
        run.until_rows(1)
        store.rename(tmp_path / "elsewhere")
        ended = run.wait(60)
    assert ended.code == 3
    assert in_one_sentence(ended, "the store")
    assert not store.exists()
    (tmp_path / "elsewhere").rename(store)
    with live(story, store) as run:
        assert run.wait().code == 0
    assert left_clean(store, undisturbed)


@pytest.mark.nightly
def test_a_worker_that_stands_still_is_ended_and_its_stage_goes_on(story, undisturbed, tmp_path):
    with live(story, tmp_path / "s") as run:
        run.until_rows(1)
        run.kill("worker", signal.SIGSTOP)
        ended = run.wait(280)
    assert ended.code == 0
    assert left_clean(tmp_path / "s", undisturbed)


@pytest.mark.nightly
def test_a_stop_does_not_wait_for_a_worker_that_stands_still(story, undisturbed, tmp_path):
    with live(story, tmp_path / "s") as run:
        run.until_rows(1)
        run.kill("worker", signal.SIGSTOP)
        os.kill(run.pid, signal.SIGINT)
        ended = run.wait(30 + 30)  # a step, half a minute, and tidying up
    assert ended.code == 130
    assert in_one_sentence(ended, "did not answer in time")
    with live(story, tmp_path / "s") as run:
        assert run.wait().code == 0
    assert left_clean(tmp_path / "s", undisturbed)


@pytest.fixture
def two_nodes(short_folder):
    """A head that only leads, and a node that works."""
    nodes = Nodes(short_folder(), "--num-cpus=0")
    try:
        nodes.add("first", "--num-cpus=2")
        yield nodes
    finally:
        nodes.close()


def test_the_node_that_holds_the_states_goes_and_they_are_derived_again(two_nodes, story, undisturbed, tmp_path):
    store, address = tmp_path / "s", f"127.0.0.1:{two_nodes.gcs_port}"
    keep_nothing = ("--set", "resources.checkpoint_interval_s=600")
    with live(story, store, "--address", address, *keep_nothing, env=two_nodes.env) as run:
        run.until_rows(1)
        two_nodes.kill("first", wait=False)
        assert len(measured(store)) < CELLS
        two_nodes.add("second", "--num-cpus=2")
        ended = run.wait()
    assert ended.code == 0
    assert left_clean(store, undisturbed)


SLOW = """\
name: slow
data: {source: simulated, examples: 1M}
model: {family: simulated, stage_s: 2.0}
grid: {params: [1k, 3k, 10k, 30k], data_fraction: [0.1, 0.3, 1.0], epochs: [1, 2, 4]}
"""


@pytest.mark.nightly
def test_a_cluster_of_others_whose_head_goes_ends_the_run_with_3_in_one_sentence(two_nodes, tmp_path):
    (tmp_path / "slow.yaml").write_text(SLOW)
    address = f"127.0.0.1:{two_nodes.gcs_port}"
    with live(tmp_path / "slow.yaml", tmp_path / "s", "--address", address, env=two_nodes.env) as run:
        run.until_rows(1)
        two_nodes.kill("head", wait=False)
        ended = run.wait(60)
    assert ended.code == 3
    assert in_one_sentence(ended, "has not answered for 30 s: its head is gone or out of reach")
    assert in_one_sentence(ended, "run the same command again to go on")
