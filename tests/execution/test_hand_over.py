"""States between stages: bounded memory, checkpoints, and runs that go on from them (I6)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import workers.engine
from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from workers.actor import Worker
from workers.orders import Kept, WorkOrder
from workers.rank import ALONE

IMAGES = """\
name: images
seed: 3
data: {source: digits, max_examples: 480, eval_examples: 32}
model: {family: resnet}
grid: {params: [1.4k], data_fraction: [0.5, 1.0], epochs: [1, 4]}
train: {optimizer: adamw, batch_size: 8, warmup_steps: 2, learning_rate: 0.01}
resources: {workers: 2, max_retries: 3}
fit: {bootstrap: 0, laws: [product]}
"""
MEASURED = ("cell_id", "train_loss", "val_loss", "test_loss", "accuracy", "f1_macro")


def rows(store):
    measured = open_store(str(store)).results().to_pylist()
    return {row["cell_id"]: tuple(row[name] for name in MEASURED) for row in measured}


def checkpoints(store):
    folder = Path(store) / "checkpoints"
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.exists() else set()


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed")
    result = run_sweep(parse_sweep(IMAGES), store=str(store), dashboard=False)
    assert (result.rows, result.failed, result.spilled) == (4, 0, 0)
    assert result.peak_state_bytes > 0
    assert not checkpoints(store)
    return rows(store)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["wsd", "wsm"])
def test_states_that_memory_has_no_room_for_go_to_files_and_change_no_number(cluster, tmp_path, console, schedule):
    overrides = [f"train.schedule={schedule}", "data.max_examples=160"]
    with_room = run_sweep(parse_sweep(IMAGES, overrides=overrides), store=str(tmp_path / "room"), console=console)
    overrides.append("resources.state_memory_bytes=20000")
    tight = run_sweep(parse_sweep(IMAGES, overrides=overrides), store=str(tmp_path / "tight"), console=console)
    assert with_room.spilled == 0 < tight.spilled
    assert tight.peak_state_bytes <= 20_000 < with_room.peak_state_bytes
    assert rows(tmp_path / "tight") == rows(tmp_path / "room")
    assert not checkpoints(tmp_path / "tight")


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_trunk_changes_no_number(undisturbed, pid_of, tmp_path, console):
    sweep = parse_sweep(IMAGES, overrides=["resources.checkpoint_interval_s=0.2"])
    killed = []

    def kill():
        end = time.monotonic() + 60
        while not checkpoints(tmp_path) and time.monotonic() < end:
            time.sleep(0.02)
        pid = pid_of("scalaw-worker-0")
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    result = run_sweep(sweep, store=str(tmp_path), console=console)
    thread.join()
    assert killed
    assert (result.rows, result.failed) == (4, 0)
    assert rows(tmp_path) == undisturbed
    assert not checkpoints(tmp_path)


def _run_until(sweep, store, moment):
    """Start the command on a sweep and return it once ``moment()`` has come."""
    path = store.with_suffix(".yaml")
    path.write_text(sweep)
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli.main", "run", str(path), "--store", str(store), "--no-dashboard"],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    end = time.monotonic() + 90
    while not moment():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_run_goes_on_from_what_the_one_before_has_kept(undisturbed, tmp_path, console, blow):
    interval = 0.2 if blow == signal.SIGKILL else 600
    text = IMAGES.replace("resources: {", f"resources: {{checkpoint_interval_s: {interval}, ")
    store = tmp_path / "store"
    seen = (lambda: checkpoints(store)) if blow == signal.SIGKILL else (lambda: store.exists() and rows_there(store))
    process = _run_until(text, store, seen)
    os.kill(process.pid, blow)
    process.communicate(timeout=60)
    assert process.returncode == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    kept = checkpoints(store)
    assert kept
    missing = 4 - len(rows(store))
    assert missing
    result = run_sweep(parse_sweep(text), store=str(store), console=console)
    assert (result.rows, result.failed, result.missing) == (4, 0, 0)
    plan = make_plan(parse_sweep(text))
    assert result.flops_spent < plan.flops_planned
    assert rows(store) == undisturbed
    assert not checkpoints(store)


def rows_there(store):
    return any((store / "results").glob("*.parquet"))


@pytest.fixture
def worker(tmp_path):
    def make():
        context = make_plan(parse_sweep(IMAGES)).context
        return Worker("w", context, str(tmp_path), threads=1, on_gpu=False, rank=ALONE, checkpoint_interval_s=1e-3)

    open_store(str(tmp_path), create=True).probe()
    return make


@pytest.fixture
def trunk():
    plan = make_plan(parse_sweep(IMAGES, overrides=["data.max_examples=80"]))
    return next(stage for stage in plan.tree if stage.kind == "trunk")


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_retry_trains_only_the_steps_after_the_last_checkpoint(worker, trunk, monkeypatch):
    first, trained = worker(), []
    whole = first.engine.train(trunk, None)
    real = workers.engine.train_steps

    def counting(*arguments, start, after_step, **keywords):
        def after(step):
            trained.append(step)
            after_step(step)
            if len(trained) == 3:
                raise Killed

        real(*arguments, start=start, after_step=after, **keywords)

    monkeypatch.setattr(workers.engine, "train_steps", counting)
    with pytest.raises(Killed):
        first.run([WorkOrder(chain=[trunk])], None)
    assert trained == [1, 2, 3]
    [result], state = worker().run([WorkOrder(chain=[trunk], attempt=2, look_for_kept=True)], None)
    assert result.error is None
    assert trained[3:] == list(range(trained[3], trunk.stop_step + 1))
    assert trained[3] > 1
    assert state.step == whole.step
    assert all((state.model[name] == array).all() for name, array in whole.model.items())


def test_a_damaged_checkpoint_is_named_dropped_and_not_used_again(worker, trunk):
    w = worker()
    w.keeper.checkpoints.save(trunk.id, b"no state")
    [result], state = w.run([WorkOrder(chain=[trunk], attempt=2, look_for_kept=True)], None)
    assert state is None
    assert result.retry
    assert "DamagedCheckpoint" in result.error
    [again], state = w.run([WorkOrder(chain=[trunk], attempt=3, look_for_kept=True)], None)
    assert again.error is None
    assert state.step == trunk.stop_step


def test_a_stage_whose_parents_state_is_gone_fails_instead_of_training_from_nothing(worker):
    plan = make_plan(parse_sweep(IMAGES))
    child = next(stage for stage in plan.tree if stage.parent is not None)
    [result], _ = worker().run([WorkOrder(chain=[child])], Kept("ab12"))
    assert "is gone" in result.error
