"""Who may say whether a state can be gone on from: what is kept, when, and what is not believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from orchestrator.store import open_store
from orchestrator.store.checkpoints import DamagedCheckpoint, Progress
from tests.execution.trees import tree_of
from workers import checkpointer as module
from workers.checkpointer import Checkpointer, StateGone, Stopped

STAGE, OTHER = tree_of([None, None], [0, 1]).children[None]


@dataclass
class State:
    """A number and whether it is the end."""

    step: int
    done: bool = False


def unpack(data):
    step, done = data.decode().split("/")
    if not step.isdigit():
        raise DamagedCheckpoint("no number")
    return State(int(step), done == "True")


@pytest.fixture
def now(monkeypatch):
    """A clock that passes when told to."""
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def checkpoints(tmp_path):
    return open_store(str(tmp_path / "store"), create=True).checkpoints


@pytest.fixture
def keeper(checkpoints, now):
    def make(interval_s=math.inf, **keywords):
        made = Checkpointer(
            checkpoints, lambda s: f"{s.step}/{s.done}".encode(), unpack, interval_s=interval_s, **keywords
        )
        made.start(0.0)
        return made

    return make


def test_a_state_is_kept_once_an_interval_has_passed_and_the_next_counts_from_there(keeper, checkpoints, now):
    kept, keeper = [], keeper(10.0)
    for step in (1, 2, 3):
        now[0] += 6.0
        keeper.after_step(STAGE, step, lambda step=step: State(step))
        kept.append(checkpoints.reached(STAGE.id))
    assert kept == [None, (False, 2), (False, 2)]
    assert keeper.kept(Progress.BEGUN) == (STAGE.id,)
    assert keeper.kept(Progress.DONE) == ()


def test_the_time_that_a_path_has_trained_unkept_before_counts(keeper, checkpoints):
    keeper = keeper(10.0)
    keeper.start(9.0)
    assert not keeper.due
    keeper.start(10.0)
    assert keeper.due
    keeper.after_step(STAGE, 1, lambda: State(1))
    assert checkpoints.reached(STAGE.id) == (False, 1)


def test_after_the_last_step_nothing_is_kept_as_the_stage_hands_its_state_over(keeper, checkpoints):
    keeper = keeper(0.0)
    keeper.stop_asked = True
    keeper.after_step(STAGE, STAGE.stop_step, lambda: State(STAGE.stop_step))
    assert checkpoints.kept() == {}


def test_a_stop_keeps_the_state_at_the_next_step_and_ends_the_stage(keeper, checkpoints):
    keeper = keeper()
    keeper.after_step(STAGE, 1, lambda: State(1))
    keeper.stop_asked = True
    with pytest.raises(Stopped):
        keeper.after_step(STAGE, 2, lambda: State(2))
    assert checkpoints.reached(STAGE.id) == (False, 2)


def test_a_rank_that_does_not_lead_keeps_nothing_and_does_not_stop(keeper, checkpoints):
    keeper = keeper(0.0, leads=False)
    keeper.stop_asked = True
    keeper.after_step(STAGE, 1, lambda: State(1))
    assert checkpoints.kept() == {}
    assert not keeper.due
    assert not keeper.was_long


def test_stages_that_train_as_one_are_kept_together_and_stop_together(keeper, checkpoints):
    keeper = keeper()
    keeper.stop_asked = True
    with pytest.raises(Stopped):
        keeper.after_step_together([(STAGE, lambda: State(2)), (OTHER, lambda: State(2))], 2)
    assert checkpoints.kept() == {STAGE.id: Progress.BEGUN, OTHER.id: Progress.BEGUN}


def test_a_finished_state_says_so_and_ends_what_its_loss_would_cost(keeper, checkpoints, now):
    keeper = keeper(10.0)
    now[0] = 20.0
    assert keeper.was_long
    keeper.keep(STAGE, State(4, done=True))
    assert checkpoints.load(STAGE.id) == (Progress.DONE, b"4/True")
    assert keeper.kept(Progress.DONE) == (STAGE.id,)
    assert not keeper.due
    assert not keeper.was_long
    assert keeper.finished(STAGE.id) == State(4, done=True)


@pytest.mark.parametrize(
    ("progress", "data"),
    [(Progress.BEGUN, b"x/False"), (Progress.BEGUN, b"2/True"), (Progress.DONE, b"4/False")],
    ids=["damaged", "done, named begun", "begun, named done"],
)
def test_what_is_no_state_or_not_what_its_name_says_is_dropped_and_named(keeper, checkpoints, progress, data):
    checkpoints.save(STAGE.id, progress, 2, data)
    with pytest.raises(StateGone) as gone:
        keeper().found(STAGE.id)
    assert gone.value.stages == (STAGE.id,)
    assert checkpoints.load(STAGE.id) is None


def test_a_finished_state_that_is_counted_on_and_is_not_there_is_gone(keeper, checkpoints):
    with pytest.raises(StateGone) as gone:
        keeper().finished(STAGE.id)
    assert gone.value.stages == (STAGE.id,)
    checkpoints.save(STAGE.id, Progress.BEGUN, 2, b"2/False")
    with pytest.raises(StateGone):
        keeper().finished(STAGE.id)
    assert keeper().found(STAGE.id) == State(2), "it is good for the stage itself"


def test_signs_of_life_are_counted_and_say_what_goes_on(keeper):
    keeper = keeper()
    assert (keeper.beats, keeper.stepping) == (0, False)
    keeper.beat()
    assert (keeper.beats, keeper.stepping) == (1, False)
    seen = []
    keeper.pack = lambda state: seen.append(keeper.writing) or b"1/False"
    keeper.keep(STAGE, State(1))
    keeper.after_step(STAGE, 2, lambda: State(2))
    assert (keeper.beats, keeper.stepping, keeper.writing, seen) == (2, True, False, [True])
