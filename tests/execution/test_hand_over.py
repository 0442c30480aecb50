"""States between stages: bounded memory, checkpoints, and runs that go on from them (I6)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

import workers.engine
from orchestrator.execution.run import run_sweep
from orchestrator.execution.stage_scheduler import Ledger
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from workers.actor import Worker
from workers.messages import Kept, WorkOrder
from workers.rank import ALONE

IMAGES = """\
name: images
seed: 3
data: {source: digits, max_examples: 480, eval_examples: 32}
model: {family: resnet}
grid: {params: [1.4k], data_fraction: [0.5, 1.0], epochs: [1, 4]}
train: {schedule: wsm, optimizer: adamw, batch_size: 8, warmup_steps: 2, learning_rate: 0.01}
resources: {workers: 1, max_retries: 3}
fit: {bootstrap: 0, laws: [product]}
"""
MEASURED = ("cell_id", "train_loss", "val_loss", "test_loss", "accuracy", "f1_macro")


def rows(store):
    measured = open_store(str(store)).results().to_pylist()
    return {row["cell_id"]: tuple(row[name] for name in MEASURED) for row in measured}


def checkpoints(store):
    folder = Path(store) / "checkpoints"
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.exists() else set()


def longest_trunk(plan):
    return max((stage for stage in plan.tree if stage.kind == "trunk"), key=lambda stage: stage.steps)


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed")
    result = run_sweep(parse_sweep(IMAGES), store=str(store), dashboard=False)
    assert (result.rows, result.failed, result.spilled) == (4, 0, 0)
    assert result.peak_state_bytes > 30_000
    assert not checkpoints(store)
    return rows(store)


@pytest.mark.slow
def test_states_that_memory_has_no_room_for_go_to_files_and_change_no_number(undisturbed, tmp_path, console):
    sweep = parse_sweep(IMAGES, overrides=["resources.state_memory_bytes=30000", "resources.workers=2"])
    tight = run_sweep(sweep, store=str(tmp_path), console=console)
    assert tight.spilled > 0
    assert 0 < tight.peak_state_bytes <= 30_000
    assert rows(tmp_path) == undisturbed
    assert not checkpoints(tmp_path)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_trunk_costs_an_interval_and_changes_no_number(
    undisturbed, started, drivers, when, tmp_path, console
):
    sweep = parse_sweep(IMAGES, overrides=["resources.checkpoint_interval_s=0.05"])
    plan = make_plan(sweep)
    trunk = longest_trunk(plan)

    def kill():
        [pid] = ray.get(started[0])
        os.kill(pid, signal.SIGKILL)

    killed = when(lambda: trunk.id in checkpoints(tmp_path), kill)
    result = run_sweep(sweep, store=str(tmp_path), console=console)
    killed.result()
    assert (result.rows, result.failed) == (4, 0)
    assert rows(tmp_path) == undisturbed
    attempts = drivers[0].ledger.attempts
    assert {stage_id for stage_id, count in attempts.items() if count > 1} == {trunk.id}
    assert len(started) == 2
    spared = plan.flops_planned - result.flops_spent
    assert 0 < spared <= trunk.flops
    assert spared % (trunk.flops // trunk.steps) == 0
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
    interval = 0.05 if blow == signal.SIGKILL else 600
    text = IMAGES.replace("resources: {", f"resources: {{checkpoint_interval_s: {interval}, ")
    store = tmp_path / "store"
    seen = (lambda: checkpoints(store)) if blow == signal.SIGKILL else (lambda: store.exists() and rows_there(store))
    process = _run_until(text, store, seen)
    os.kill(process.pid, blow)
    process.communicate(timeout=60)
    assert process.returncode == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    assert checkpoints(store)
    plan = make_plan(parse_sweep(text))
    missing = {cell.id for cell in plan.cells} - rows(store).keys()
    result = run_sweep(parse_sweep(text), store=str(store), console=console)
    assert (result.rows, result.failed, result.missing) == (4, 0, 0)
    assert 0 <= result.flops_spent < sum(stage.flops for stage in plan.tree.towards(missing))
    assert rows(store) == undisturbed
    assert not checkpoints(store)


def rows_there(store):
    return any((store / "results").glob("*.parquet"))


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_its_cells_alone_and_the_next_run_mends_them(undisturbed, tmp_path, console):
    sweep = parse_sweep(IMAGES, overrides=["resources.max_retries=1"])
    plan = make_plan(sweep)
    trunk, store = longest_trunk(plan), open_store(str(tmp_path), create=True)
    below = {stage.cell.id for stage in plan.tree.below(trunk.id) if stage.cell}
    assert 0 < len(below) < 4
    store.checkpoints.save(trunk.id, b"no state")
    result = run_sweep(sweep, store=str(tmp_path), console=console)
    assert (result.rows, result.failed) == (4 - len(below), len(below))
    measured = {row["cell_id"]: row for row in store.results().to_pylist()}
    assert {cell_id for cell_id, row in measured.items() if row["status"] == "failed"} == below
    assert all("is gone" in measured[cell_id]["error"] for cell_id in below)
    mended = run_sweep(sweep, store=str(tmp_path), retry_failed=True, console=console)
    assert (mended.rows, mended.failed) == (4, 0)
    assert rows(tmp_path) == undisturbed
    assert not checkpoints(tmp_path)


@pytest.fixture
def plan():
    return make_plan(parse_sweep(IMAGES))


def finished(ledger):
    """Finish everything that a ledger sends; return the first stages of what it sent, and what it let go."""
    sent, dropped = [], []
    while (stage := ledger.pop(2)) is not None:
        ledger.attempts[stage.id] += 1
        sent.append(stage.id)
        ledger.finish(ledger.tree.chain(stage), object(), 1.0)
        dropped += ledger.obsolete()
    return sent, dropped


def test_what_led_to_a_kept_stage_and_to_nothing_else_is_not_trained_again(plan):
    trunk = longest_trunk(plan)
    siblings = [stage for stage in plan.tree.children[trunk.parent] if stage.id != trunk.id]
    assert siblings
    both = Ledger(plan.tree, plan.rate, kept={trunk.id, *(stage.id for stage in siblings)})
    assert trunk.parent in both.done
    sent, _ = finished(both)
    assert trunk.id in sent
    assert trunk.parent not in sent
    assert both.unfinished == 0
    assert both.flops_spent < plan.flops_planned
    one = Ledger(plan.tree, plan.rate, kept={trunk.id})
    assert trunk.parent in finished(one)[0]  # its other child needs it


def test_checkpoints_that_a_later_one_made_useless_are_let_go(plan):
    trunk = longest_trunk(plan)
    kept = {stage.id for stage in plan.tree.children[trunk.parent]} | {trunk.parent}
    ledger = Ledger(plan.tree, plan.rate, kept=kept)
    sent, dropped = finished(ledger)
    assert set(dropped) == kept
    assert trunk.parent not in sent


def test_a_checkpoint_that_a_lost_attempt_may_have_left_is_let_go_with_its_stage(plan):
    ledger, trunk = Ledger(plan.tree, plan.rate), longest_trunk(plan)
    ledger.attempts[trunk.id] = 1
    assert trunk.id in finished(ledger)[1]


def test_a_failed_stage_does_not_take_along_what_an_earlier_run_has_done(plan):
    trunk = longest_trunk(plan)
    root = plan.tree.stages[trunk.parent]
    while root.parent:
        root = plan.tree.stages[root.parent]
    kept = {stage.id for stage in plan.tree.below(root.id) if stage.parent == trunk.parent}
    ledger = Ledger(plan.tree, plan.rate, kept=kept)
    assert trunk.parent in ledger.done
    while (stage := ledger.pop(2)) is not root:
        ledger.finish(ledger.tree.chain(stage), object(), 1.0)
    ledger.fail(root)
    assert not ledger.done & ledger.failed
    finished(ledger)
    assert ledger.unfinished == 0
    assert kept <= ledger.done


def test_seeds_of_which_a_checkpoint_may_be_there_do_not_train_together_with_the_others():
    plan = make_plan(parse_sweep(IMAGES, overrides=["grid.seeds=4"]))
    tried, kept, other, *_ = plan.tree.children[None]
    ledger = Ledger(plan.tree, plan.rate, kept={kept.id})
    ledger.attempts[tried.id] = 1
    seeds = [stage for stage in (ledger.pop(1), ledger.pop(1), ledger.pop(1), ledger.pop(1)) if stage is not other]
    for stage in seeds:
        ledger.push(stage)
    together = [chain[0].id for chain in ledger.pop_like(plan.tree.chain(other), 1)]
    assert together == [stage.id for stage in seeds if stage not in (tried, kept)]


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
