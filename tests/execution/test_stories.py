"""What goes wrong where sweeps run, each once on a real Ray: rows equal to the bit, no failure row, and one sentence.

States are larger than a megabyte, and every setting is the default one unless the story is about it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from orchestrator.execution.run import run_sweep
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from orchestrator.store.checkpoints import Progress

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
    assert not [line for line in ended.err.splitlines() if line.startswith(("Traceback", "  File ", "[20", "\x1b["))]
    return True


def left_clean(store: Path, rows) -> bool:
    """Assert that all is there, equal, and nothing beside it."""
    assert measured(store) == rows
    assert open_store(str(store)).checkpoints.kept() == {}
    return True


def test_a_killed_worker_costs_no_cell_and_no_number(story, undisturbed, tmp_path):
    with live(story, tmp_path / "s") as run:
        run.until_rows(1)
        run.kill("worker")
        ended = run.wait()
    assert ended.code == 0
    assert left_clean(tmp_path / "s", undisturbed)
    assert in_one_sentence(ended, "story: 12 of 12 cells to train")


@pytest.mark.parametrize("part", ["raylet", "gcs", "agent"])
def test_a_ray_of_our_own_that_loses_a_part_is_started_anew_and_the_sweep_goes_on(story, undisturbed, tmp_path, part):
    with live(story, tmp_path / "s") as run:
        run.until_rows(1)
        run.kill(part)
        ended = run.wait()
    assert ended.code == 0
    assert left_clean(tmp_path / "s", undisturbed)
    assert in_one_sentence(ended, "starting Ray anew")


def test_a_killed_driver_is_followed_by_the_same_command_which_goes_on(story, undisturbed, tmp_path):
    with live(story, tmp_path / "s") as run:
        run.until_rows(1)
        os.kill(run.pid, signal.SIGKILL)
        assert run.wait().code == -signal.SIGKILL
    there = measured(tmp_path / "s")
    assert 0 < len(there) < CELLS
    with live(story, tmp_path / "s") as run:
        ended = run.wait()
    assert ended.code == 0
    assert left_clean(tmp_path / "s", undisturbed)
    assert in_one_sentence(ended, f"story: {CELLS - len(there)} of 12 cells to train")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to", ["the driver", "its group"])
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
