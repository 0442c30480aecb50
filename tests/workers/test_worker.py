"""What a worker answers: never an exception, never training from nothing, and rows that lie in the store already."""

from __future__ import annotations

import argparse
import threading

import pytest

from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from orchestrator.store.checkpoints import Progress
from workers.messages import Cause, Kept, WorkOrder
from workers.rank import ALONE
from workers.worker import Worker

TEXT = f"""\
name: text
seed: 1
data: {{source: text, paths: [{argparse.__file__}], max_examples: 64, eval_examples: 16}}
model: {{family: transformer, context: 16}}
grid: {{params: [2k], data_fraction: [0.5, 1.0]}}
train: {{batch_size: 8, warmup_steps: 2, learning_rate: 0.01}}
inference: {{measure: false}}
"""
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def plan():
    return make_plan(parse_sweep(TEXT))


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"), create=True)


@pytest.fixture
def worker(plan, store):
    return warmed(plan, store)


def warmed(plan, store):
    made = Worker(
        "w",
        plan.context,
        store.uri,
        store_id=store.identity(),
        threads=1,
        on_gpu=False,
        rank=ALONE,
        checkpoint_interval_s=600.0,
        store_patience_s=0.0,
    )
    made.warm()
    return made


@pytest.fixture
def root(plan):
    return next(stage for stage in plan.tree if stage.parent is None)


@pytest.fixture
def child(plan, root):
    return next(stage for stage in plan.tree.children[root.id] if stage.steps)


def run(worker, order, parent=None):
    [result], state = worker.run([order], parent)
    return result, state


@pytest.mark.parametrize("parent", [None, "its checkpoint"])
def test_a_stage_whose_parents_state_is_gone_says_so_instead_of_training_from_nothing(worker, child, parent):
    result, state = run(worker, WorkOrder(chain=[child]), parent and Kept(child.parent))
    assert state is None
    assert result.failure.cause is Cause.STATE_LOST
    assert result.failure.stages == ((child.parent,) if parent else (child.id,))
    assert result.failure.error.splitlines()[-1].startswith("workers.checkpointer.StateGone: ")


def test_a_parent_that_was_only_begun_is_not_handed_to_a_child(worker, store, root, child):
    begun = worker.engine.pack(worker.engine.train(root, None))
    store.checkpoints.save(root.id, Progress.BEGUN, 1, begun)
    result, _ = run(worker, WorkOrder(chain=[child]), Kept(root.id))
    assert result.failure.cause is Cause.STATE_LOST
    assert result.failure.stages == (root.id,)


def test_a_spilled_state_lies_among_the_checkpoints_and_does_not_travel(worker, store, root):
    result, state = run(worker, WorkOrder(chain=[root], spill=True))
    assert state == Kept(root.id)
    assert (result.state_bytes, result.done) == (0, (root.id,))
    assert store.checkpoints.kept() == {root.id: Progress.DONE}


@pytest.mark.parametrize("kind", ["compress", "cooldown"])
def test_what_is_kept_as_done_is_not_done_once_more_though_nobody_knew_of_it(store, kind):
    compressed = TEXT.replace("1.0]}", "1.0], compression: [{method: prune, density: 0.5}]}")
    plan = make_plan(parse_sweep(compressed))
    worker = warmed(plan, store)
    leaf = next(s for s in plan.tree if s.cell and (s.cell.compressed is not None) == (kind == "compress"))
    path = [leaf]
    while path[0].parent is not None:
        path.insert(0, plan.tree.stages[path[0].parent])
    alone, _ = run(worker, WorkOrder(chain=path))
    kept = next(k for k, stage in enumerate(path) if stage.kind == kind)
    run(worker, WorkOrder(chain=path[: kept + 1], spill=True))
    assert store.checkpoints.kept() == {path[kept].id: Progress.DONE}
    again, _ = run(worker, WorkOrder(chain=path, look_for_kept=True))
    assert again.spared_steps == sum(stage.steps for stage in path[: kept + 1]) > 0
    for column in ("val_loss", "test_loss", "density", "model_bytes"):
        assert again.row[column] == alone.row[column]


def test_a_row_is_in_the_store_when_it_is_told_of(worker, store, plan):
    root = min(plan.tree.children[None], key=lambda stage: stage.id)
    states, told = {None: None}, []
    for stage in plan.tree:
        result, states[stage.id] = run(worker, WorkOrder(chain=[stage], attempt=3), states[stage.parent])
        if result.row is not None:
            told.append(result.row["cell_id"])
            assert set(store.done()) == set(told)
    assert root.parent is None
    assert {row["attempt"] for row in store.results().to_pylist()} == {3}
    assert len(told) == len(plan.cells)


def test_the_next_chain_finds_the_worker_as_it_was_after_one_that_raised(worker, root, monkeypatch):
    whole = worker.engine.train(root, None)
    after_step = worker.checkpointer.after_step

    def failing(stage, step, state):
        if step == 2:
            raise ValueError("seven")
        after_step(stage, step, state)

    monkeypatch.setattr(worker.checkpointer, "after_step", failing)
    result, state = run(worker, WorkOrder(chain=[root]))
    assert (state, result.failure.cause) == (None, Cause.RAISED)
    monkeypatch.undo()
    result, state = run(worker, WorkOrder(chain=[root]))
    assert result.failure is None
    assert all((state.model[name] == array).all() for name, array in whole.model.items())


def test_a_worker_answers_how_it_is_and_takes_a_stop_while_it_works(worker, store, root, monkeypatch):
    seen = []
    after_step = worker.checkpointer.after_step

    def asked_from_another_thread(stage, step, state):
        def ask():
            seen.append(worker.pulse())
            if step == 2:
                worker.stop()

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        after_step(stage, step, state)

    monkeypatch.setattr(worker.checkpointer, "after_step", asked_from_another_thread)
    result, state = run(worker, WorkOrder(chain=[root]))
    assert (state, result.stopped, result.failure) == (None, True, None)
    assert [pulse.stepping for pulse in seen] == [False, True]
    assert seen[0].beats < seen[1].beats
    assert store.checkpoints.reached(root.id) == (False, 2)
    assert result.begun == (root.id,)


def test_a_stop_at_the_end_of_a_stage_keeps_its_end_and_does_not_begin_the_next(
    worker, store, root, child, monkeypatch
):
    steps, after_step = [], worker.checkpointer.after_step

    def stop_at_the_end(stage, step, state):
        steps.append((stage.id, step))
        if step == root.stop_step:
            worker.stop()
        after_step(stage, step, state)

    monkeypatch.setattr(worker.checkpointer, "after_step", stop_at_the_end)
    result, state = run(worker, WorkOrder(chain=[root, child]))
    assert (state, result.stopped, result.done) == (None, True, (root.id,))
    assert steps[-1] == (root.id, root.stop_step)
    assert store.checkpoints.kept() == {root.id: Progress.DONE}
