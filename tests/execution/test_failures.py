"""The failure table, row by row: a sweep under one kind of trouble ends in the rows that it has without.

Driver, scheduler, policy, worker and store are the real ones; the pool is in this process, so that a test can lose a
worker or a node, and let it hang, at a step of its choice.
"""

from __future__ import annotations

import argparse
import errno
import re
import shutil
import socket
from collections import Counter
from pathlib import Path

import pytest
import torch

from orchestrator.errors import ScalawError, StoreReplaced, Unreachable
from orchestrator.execution import failure_policy
from orchestrator.execution.stage_status import Status
from orchestrator.store import local_blobs, open_store, patience
from tests.execution.local import LocalRun, new_store, rows
from workers.families.transformer.module import ByteTransformer
from workers.messages import Cause
from workers.training.batches import Feed
from workers.worker import Worker

TEXT = f"""\
name: text
seed: 1
data: {{source: text, paths: [{argparse.__file__}], max_examples: 128, eval_examples: 16}}
model: {{family: transformer, context: 16}}
grid: {{params: [2k], data_fraction: [0.5, 1.0], epochs: [1, 2]}}
train: {{batch_size: 16, warmup_steps: 2, learning_rate: 0.01}}
inference: {{measure: false}}
"""
IMAGES = """\
name: images
data: {source: digits, max_examples: 64, eval_examples: 16}
model: {family: resnet}
grid: {params: [700]}
train: {batch_size: 16, warmup_steps: 2, learning_rate: 0.01}
inference: {measure: false}
"""
pytestmark = pytest.mark.usefixtures("one_thread")
#: Every step is kept.
KEEPING = "resources.checkpoint_interval_s=0.0001"


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """How long is waited before a retry is tested with the policy, and with patience."""
    monkeypatch.setattr(failure_policy, "_wait_s", lambda rule, times: 0.0)
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.02)


@pytest.fixture(scope="module")
def undisturbed(one_thread, tmp_path_factory):
    """What every cell measures when nothing happens."""
    store = new_store(tmp_path_factory.mktemp("undisturbed"))
    LocalRun(TEXT, store).run()
    found = rows(store)
    assert len(found) == 4
    assert not any(row[0] == "failed" for row in found.values())
    assert len({row[1] for row in found.values()}) == 4
    return found


class Once:
    """Does something at the first step for which it is time; as often as it is told."""

    def __init__(self, action, when=lambda stage, step: True, times=1):
        self.action, self.when, self.left, self.steps = action, when, times, Counter()

    def __call__(self, run, gang, stage, step):
        self.steps[stage.id] += 1
        if self.left and self.when(stage, step):
            self.left -= 1
            self.action(run, gang)


def below_the_root(stage, step):
    return stage.parent is not None


def in_the_middle(stage, step):
    return stage.kind == "trunk" and step < stage.stop_step


def run(store, fault=lambda run, gang, stage, step: None, *overrides, **keywords):
    return LocalRun(TEXT, store, overrides=list(overrides), on_step=fault, **keywords).run()


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path / "store")


def assert_unharmed(store, undisturbed):
    assert rows(store) == undisturbed
    assert store.checkpoints.kept() == {}


def stop(run, gang):
    """Ask for a stop, and tell the workers at once, as a driver does within a tick."""
    run.stop.asked = True
    run.pool.stop_soon()


def raises(error):
    def action(run, gang):
        raise error

    return action


def test_what_was_queued_behind_a_worker_that_dies_is_not_charged(store, undisturbed, monkeypatch):
    monkeypatch.setattr("orchestrator.execution.driver.SHORT_S", 60.0)
    charged = Counter()

    def kill(run, gang):
        _, *behind = (run.driver._flights[ticket] for ticket in run.driver._warm[gang])
        if behind:
            charged.update(flight.chains[0][0].id for flight in behind)
            run.pool.kill(gang)
        else:
            fault.left += 1

    fault = Once(kill, times=2)
    done = run(store, fault)
    assert_unharmed(store, undisturbed)
    assert sum(charged.values()) == 2, "each time something was queued behind"
    assert done.policy.counts == {Cause.WORKER_DIED: 2}


# What is the cell's own


def test_a_stage_that_raises_once_is_tried_again(store, undisturbed):
    done = run(store, Once(raises(ValueError("seven")), in_the_middle))
    assert_unharmed(store, undisturbed)
    assert done.policy.counts == {Cause.RAISED: 1}


def test_a_stage_that_raises_twice_fails_its_cells_alone_with_what_it_said(store, undisturbed):
    victim = {}

    def is_victim(stage, step):
        return stage.id == victim.setdefault("id", stage.id if stage.kind == "cooldown" else None)

    def action(run, gang):
        try:
            raise KeyError("deep")
        except KeyError as deepest:
            raise RuntimeError("passed on") from deepest

    done = run(store, Once(action, lambda stage, step: stage.kind == "cooldown" and is_victim(stage, step), times=2))
    found = rows(store)
    failed = {cell_id: row[1] for cell_id, row in found.items() if row[0] == "failed"}
    assert {cell.id for cell in done.plan.tree.cells(done.plan.tree.below(victim["id"]))} == set(failed)
    assert len(failed) == 1
    assert {i: row for i, row in found.items() if i not in failed} == {
        i: row for i, row in undisturbed.items() if i not in failed
    }
    for error in failed.values():
        assert error.splitlines()[-1] == "KeyError: 'deep'"
        assert f"on node {socket.gethostname()}" in error
        assert "in action" in error, "where it happened"
    assert store.checkpoints.kept() == {}


def test_an_error_in_a_row_is_plain_text_whatever_a_library_put_into_it(store):
    fault = Once(raises(OSError("\x1b[31mred\x1b[0m\nand \x07more\n")), in_the_middle, times=2)
    run(store, fault, "grid.data_fraction=1", "grid.epochs=1")
    ((state, error),) = rows(store).values()
    assert state == "failed"
    assert error.splitlines()[-1] == "OSError: red and more"
    assert all(character.isprintable() or character == "\n" for character in error)


def test_a_loss_that_is_no_number_costs_its_own_cells_and_is_not_tried_again(store, undisturbed):
    text = TEXT.replace("grid: {", "grid: {recipes: [{}, {learning_rate: 1.0e+30}], ")
    done = LocalRun(text, store).run()
    found = rows(store)
    failed = [row[1].splitlines()[-1] for row in found.values() if row[0] == "failed"]
    assert len(failed) == 4
    (said,) = set(failed)  # all descend from the stage in which it happened
    assert re.fullmatch(
        r"workers\.training\.curve\.Diverged: the loss is not finite after step [2-9]: lower train.learning_rate or "
        "lengthen the warmup",
        said,
    )
    assert {i: row for i, row in found.items() if row[0] != "failed"} == undisturbed
    assert set(done.scheduler.attempts.values()) <= {0, 1}


def small_memory(most, monkeypatch):
    """Let a device hold so many examples of a batch in training."""
    forward, seen = ByteTransformer.forward, []

    def limited(module, tokens):
        if module.training:
            seen.append(len(tokens))
            if len(tokens) > most:
                raise torch.OutOfMemoryError(f"CUDA out of memory: {len(tokens)} examples")
        return forward(module, tokens)

    monkeypatch.setattr(ByteTransformer, "forward", limited)
    return seen


def test_where_a_batch_does_not_fit_it_passes_in_parts_and_the_losses_are_the_same(store, undisturbed, monkeypatch):
    seen = small_memory(4, monkeypatch)
    run(store, lambda run, gang, stage, step: None, "resources.max_retries=0")
    found = store.results().to_pylist()
    assert {row["status"] for row in found} == {"ok"}
    assert max(seen) == 16
    assert seen.count(4) > seen.count(16) + seen.count(8)
    for row in found:
        assert row["val_loss"] == pytest.approx(undisturbed[row["cell_id"]][1], abs=1e-4)
        assert "trained in 4 parts a batch" in row["warnings"]


def test_a_step_in_parts_has_the_gradient_of_the_whole_batch(store):
    local = LocalRun(TEXT, store, overrides=["train.optimizer=sgd", "train.gradient_clip=null", "train.warmup_steps=0"])
    worker = local.pool.start("train", 1) and local.pool._gangs["scalaw-worker-0"].worker
    worker.warm()
    root = next(stage for stage in local.plan.tree if stage.parent is None)
    begin, whole, parts = (worker.engine.train(root, None, None, micro_batches=count).model for count in (1, 1, 3))
    local.pool.close()
    assert all((begin[name] == whole[name]).all() for name in whole)
    for name, array in parts.items():
        assert array == pytest.approx(whole[name], rel=1e-4, abs=1e-6)


def test_one_example_that_does_not_fit_fails_with_what_the_device_said(store, monkeypatch):
    seen = small_memory(0, monkeypatch)
    run(store)
    errors = [row[1] for row in rows(store).values()]
    assert {error.splitlines()[-1] for error in errors} == {"torch.OutOfMemoryError: CUDA out of memory: 1 examples"}
    assert seen == [16, 8, 4, 2, 1]


def test_a_model_with_batch_norm_is_not_trained_in_parts(store, monkeypatch):
    def limited(feed, picks):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Feed, "batches", limited)
    LocalRun(IMAGES, store).run()
    ((state, error),) = rows(store).values()
    assert state == "failed"
    assert "BatchNorm makes a part of a batch another batch" in error.splitlines()[-1]


# Machines


@pytest.mark.parametrize("kept", [[], [KEEPING]], ids=["from its parent", "from its checkpoint"])
def test_a_worker_that_dies_is_replaced_and_its_stage_goes_on(store, undisturbed, kept):
    fault = Once(lambda run, gang: run.pool.kill(gang), lambda stage, step: in_the_middle(stage, step) and step > 4)
    done = run(store, fault, *kept)
    assert_unharmed(store, undisturbed)
    assert done.policy.counts == {Cause.WORKER_DIED: 1}
    planned = {stage.id: stage.steps for stage in done.plan.tree}
    extra = {
        stage_id: count - planned[stage_id] for stage_id, count in fault.steps.items() if count - planned[stage_id]
    }
    assert sum(extra.values()) == (0 if kept else 1)


def test_a_stage_that_kills_three_workers_is_poison_and_its_row_says_so(store, undisturbed):
    done = run(store, Once(lambda run, gang: run.pool.kill(gang), in_the_middle, times=3))
    failed = {i: row[1] for i, row in rows(store).items() if row[0] == "failed"}
    assert len(failed) == 4, "it is the root"
    assert all("the worker died 3 times in a row while it ran this stage" in error for error in failed.values())
    assert all(error.splitlines()[-1] for error in failed.values())
    assert done.policy.counts == {Cause.WORKER_DIED: 3}
    open_store(store.uri).forget_failures(failed)
    run(store)
    assert_unharmed(store, undisturbed)


@pytest.mark.slow
def test_a_stage_that_gets_further_with_each_worker_that_it_loses_is_no_poison(store, undisturbed):
    done = run(store, Once(lambda run, gang: run.pool.kill(gang), in_the_middle, times=8), KEEPING)
    assert_unharmed(store, undisturbed)
    assert done.policy.counts == {Cause.WORKER_DIED: 8}


@pytest.mark.slow
def test_all_workers_killed_at_once_cost_no_cell_a_try(store, undisturbed):
    def kill_all(run, gang):
        for each in run.pool.gangs():
            run.pool.kill(each)

    run(store, Once(kill_all, below_the_root, times=4), gangs=3)
    assert_unharmed(store, undisturbed)


def test_a_stage_waits_for_its_retry_and_the_others_do_not(store, undisturbed, monkeypatch):
    monkeypatch.setattr(failure_policy, "_wait_s", lambda rule, times: 1e9)
    fault = Once(lambda run, gang: run.pool.kill(gang), lambda stage, step: stage.kind == "cooldown")
    local = LocalRun(TEXT, store, on_step=fault)

    def stop_when_only_it_is_left():
        if len(rows(store)) == 3 or local.scheduler.attempts.total() > 9:
            local.stop.asked = True

    local.driver.check_cluster = stop_when_only_it_is_left
    local.run()
    found = rows(store)
    assert len(found) == 3
    assert found.items() <= undisturbed.items()
    held = [stage for stage in local.plan.tree if local.scheduler.status(stage.id) is Status.HELD]
    assert {stage.cell.id for stage in held if stage.cell} == undisturbed.keys() - found.keys()
    run(store)
    assert_unharmed(store, undisturbed)


@pytest.mark.slow
def test_nodes_lost_twenty_times_cost_nobody_a_try(store, undisturbed):
    fault = Once(lambda run, gang: run.pool.lose_node(run.pool.node_of(gang)), times=20)
    done = run(store, fault, KEEPING, "resources.max_retries=0")
    assert fault.left == 0
    assert_unharmed(store, undisturbed)
    assert done.policy.counts[Cause.NODE_LOST] == 20


def test_a_worker_that_dies_while_it_is_idle_is_replaced(store, undisturbed):
    def kill_the_other(run, gang):
        for each in run.pool.gangs():
            if each != gang:
                run.pool.kill(each)

    done = run(store, Once(kill_the_other), gangs=2)
    assert_unharmed(store, undisturbed)
    assert not done.policy.counts
    assert done.pool.size("train") == 0, "closed"


def test_a_state_lost_with_its_node_is_derived_again_and_nobody_else_is_disturbed(store, undisturbed):
    def lose(run, gang):
        run.pool.lose_node("n0")

    def elsewhere(run, gang, stage, step):
        if run.pool.node_of(gang) == "n1" and below_the_root(stage, step):
            fault(run, gang, stage, step)
        else:
            fault.steps[stage.id] += 1

    fault = Once(lose)
    done = run(store, elsewhere, gangs=2, nodes=("n0", "n1"))
    assert fault.left == 0
    assert_unharmed(store, undisturbed)
    assert done.scheduler.derived_again >= 1
    assert set(done.policy.counts) <= {Cause.NODE_LOST, Cause.STATE_LOST}


def test_a_worker_that_hangs_is_ended_and_its_stage_goes_on(store, undisturbed):
    done = run(store, Once(lambda run, gang: run.pool.hang(gang), in_the_middle), stall_s=0.8)
    assert_unharmed(store, undisturbed)
    assert done.policy.counts == {Cause.STALLED: 1}


@pytest.mark.slow
def test_a_stage_that_takes_longer_than_its_time_out_is_ended_and_three_times_is_poison(store):
    fault = Once(lambda run, gang: run.pool.hang(gang), in_the_middle, times=3)
    run(store, fault, "resources.stage_timeout_s=0.4", "grid.data_fraction=1", "grid.epochs=1")
    ((state, error),) = rows(store).values()
    assert state == "failed"
    assert "the worker stood still 3 times in a row" in error
    assert "resources.stage_timeout_s = 0.4" in error


def test_a_worker_that_cannot_start_ends_the_run_with_what_it_said(store, monkeypatch):
    started = []

    def warm(worker):
        started.append(worker.name)
        raise ImportError("no module named triton")

    monkeypatch.setattr(Worker, "warm", warm)
    with pytest.raises(ScalawError, match="scalaw-worker-0 can't start: ImportError: no module named triton"):
        run(store)
    assert len(started) == 3
    assert rows(store) == {}


# Checkpoints


def damage(run, progress):
    """Put other bytes into every checkpoint that says begun or done."""
    found = list(Path(run.store.uri).glob(f"checkpoints/*/{progress}-*"))
    for path in found:
        path.write_bytes(b"no state")
    return len(found)


def test_a_damaged_state_of_a_parent_is_derived_again(store, undisturbed):
    damaged = []

    def action(run, gang):
        damaged.append(damage(run, "done"))

    done = run(store, Once(action, below_the_root), budget_bytes=0)
    assert damaged[0] > 0
    assert_unharmed(store, undisturbed)
    assert done.policy.counts[Cause.STATE_LOST] >= 1
    assert done.scheduler.derived_again >= 1


@pytest.mark.parametrize("how", ["damaged", "gone", "cut off"])
def test_a_checkpoint_of_ones_own_that_is_no_good_costs_its_steps_alone(store, undisturbed, how):
    stopped = run(store, Once(stop, in_the_middle))
    assert len(rows(store)) < 4
    (path,) = Path(store.uri).glob("checkpoints/*/begun-*")
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"no state" if how == "damaged" else path.read_bytes()[:-1])
    done = run(store)
    assert_unharmed(store, undisturbed)
    assert stopped.scheduler.unfinished
    assert done.policy.counts == ({} if how == "gone" else {Cause.STATE_LOST: 1})


def test_a_checkpoint_that_vanishes_after_the_run_has_counted_on_it_is_derived_again(store, undisturbed):
    run(store, Once(stop, lambda stage, step: step > 5))
    local = LocalRun(TEXT, store)
    assert local.scheduler.kept
    shutil.rmtree(Path(store.uri) / "checkpoints")
    local.run()
    assert_unharmed(store, undisturbed)
    assert local.policy.counts[Cause.STATE_LOST] >= 1


# The store


class Disk:
    """Where writes fail with an error of the operating system, from when on and how often it is told."""

    def __init__(self, monkeypatch):
        self.left, self.error, self.failed = 0, errno.EIO, 0
        opened = local_blobs._opened_in_folder

        def failing(path):
            if self.left:
                self.left -= 1
                self.failed += 1
                raise OSError(self.error, "the disk says no")
            return opened(path)

        monkeypatch.setattr(local_blobs, "_opened_in_folder", failing)

    def fail(self, times, error=errno.EIO):
        self.left, self.error = times, error


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE], ids=errno.errorcode.get)
def test_a_store_that_takes_nothing_for_a_while_costs_nobody_anything(store, undisturbed, disk, error):
    done = run(store, Once(lambda run, gang: disk.fail(5, error), below_the_root), KEEPING)
    assert disk.failed == 5
    assert_unharmed(store, undisturbed)
    assert not done.policy.counts


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_a_store_that_takes_nothing_for_good_ends_the_run_and_the_next_one_goes_on(store, undisturbed, disk, error):
    fault = Once(lambda run, gang: disk.fail(10**9, error), lambda stage, step: step > 5)
    with pytest.raises(Unreachable, match=r"the disk says no.*run the same command again") as refusal:
        run(store, fault, "resources.store_patience_s=0.2")
    assert refusal.value.exit_code == 3
    assert "\n" not in str(refusal.value)
    disk.fail(0)
    assert all(row == undisturbed[cell_id] for cell_id, row in rows(store).items())
    run(store)
    assert_unharmed(store, undisturbed)


def test_a_worker_that_starts_while_the_store_is_away_waits_for_it(store, undisturbed, monkeypatch):
    insist_on, left = local_blobs.LocalBlobs.insist_on, []

    def away(blobs, store_id):
        if left:
            left.pop()
            raise Unreachable(f"can't read store.json in the store {blobs.uri}")
        insist_on(blobs, store_id)

    def action(run, gang):
        left.extend(range(5))
        run.pool.kill(gang)

    monkeypatch.setattr(local_blobs.LocalBlobs, "insist_on", away)
    run(store, Once(action, in_the_middle))
    assert left == []
    assert_unharmed(store, undisturbed)


def test_a_store_that_vanishes_ends_the_run_at_once_and_nothing_is_made_anew(store, undisturbed, tmp_path):
    root, away = Path(store.uri), tmp_path / "away"
    with pytest.raises(StoreReplaced, match="is not there any more") as refusal:
        run(store, Once(lambda run, gang: root.rename(away), below_the_root), KEEPING)
    assert refusal.value.exit_code == 3
    assert not root.exists()
    away.rename(root)
    run(store)
    assert_unharmed(store, undisturbed)


def test_a_store_in_the_place_of_the_first_is_not_written_to(store, undisturbed, tmp_path):
    root, away = Path(store.uri), tmp_path / "away"

    def swap(run, gang):
        root.rename(away)
        new_store(root).identity()

    with pytest.raises(StoreReplaced, match="another store lies at"):
        run(store, Once(swap, below_the_root), KEEPING)
    assert [path.name for path in root.iterdir()] == ["store.json"]
    shutil.rmtree(root)
    away.rename(root)
    run(store)
    assert_unharmed(store, undisturbed)


def test_a_worker_that_is_replaced_after_the_store_has_gone_makes_none_and_says_so(store, tmp_path):
    root, away = Path(store.uri), tmp_path / "away"

    def vanish(run, gang):
        root.rename(away)
        run.pool.kill(gang)

    with pytest.raises(StoreReplaced):
        run(store, Once(vanish, in_the_middle))
    assert not root.exists()


# Stops


def test_a_stop_keeps_what_was_at_work_and_the_next_run_goes_on_from_there(store, undisturbed):
    fault = Once(stop, in_the_middle)
    runs, steps, stopped = 0, Counter(), set()
    while len(rows(store)) < 4:
        done = run(store, fault)
        runs, fault.left = runs + 1, 1
        steps += fault.steps
        fault.steps.clear()
        stopped |= set(Path(store.uri).glob("checkpoints/*/begun-*"))
    assert runs > 3
    assert_unharmed(store, undisturbed)
    planned = Counter({stage.id: stage.steps for stage in done.plan.tree})
    stops = Counter(path.parent.name for path in stopped)
    assert steps + stops == planned, "no step was done twice; the one after which a stage stops is not heard of"


def test_a_stop_does_not_wait_for_a_worker_that_hangs_and_says_what_becomes_of_it(store, undisturbed, monkeypatch):
    monkeypatch.setattr("orchestrator.execution.driver.STOP_GRACE_S", 0.3)

    def action(run, gang):
        run.pool.hang(gang)
        run.stop.asked = True

    stopped = run(store, Once(action, lambda stage, step: step > 5))
    assert "scalaw-worker-0 did not answer in time" in stopped.said
    run(store)
    assert_unharmed(store, undisturbed)
