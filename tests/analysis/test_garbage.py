"""``scalaw gc``: what nothing needs goes, what a missing cell would start from stays, and sizes are said before."""

from __future__ import annotations

import io
import os
import shutil
import time

import pytest
from rich.console import Console

import scalaw as facade
from orchestrator.analysis.garbage import ABANDONED, OLDER, TEMPORARY, UNNEEDED, drop_older_layout, gc, tidy_after_run
from orchestrator.errors import BadInput
from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store
from orchestrator.store.checkpoints import Progress
from orchestrator.store.heartbeat import take_lease
from tests.execution.local import LocalRun, rows

pytestmark = pytest.mark.slow  # its stores come from a real driver and real training

YAML = """\
name: small
seed: 1
data: {source: python-stdlib, max_examples: 512, eval_examples: 64}
model: {family: transformer, context: 16}
grid: {params: [2k], data_fraction: [0.5, 1.0], epochs: [1, 2]}
train: {batch_size: 16, warmup_steps: 5}
inference: {measure: false}
resources: {checkpoint_interval_s: 1.0e-6}
fit: {bootstrap: 0, laws: [product]}
"""


def record(store, text=YAML, **more):
    """Record a sweep as `run` does; return its plan."""
    plan = make_plan(parse_sweep(text))
    document = {"sweep": plan.sweep.canonical(), "cells": [cell.id for cell in plan.cells], **more}
    store.save_sweep(plan.sweep.name, document)
    return plan


def stop_at(step):
    def on_step(run, gang, stage, done):
        if done >= step:
            run.stop.asked = True
            run.pool.stop_soon()  # as a driver does within a tick; here the step must not depend on it

    return on_step


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    """A store of a sweep that was stopped in the middle of its trunk, by the real driver."""
    store = open_store(str(tmp_path_factory.mktemp("stopped") / "store"), create=True)
    record(store)
    LocalRun(YAML, store, on_step=stop_at(6)).run()
    assert list(store.checkpoints.kept().values()) == [Progress.BEGUN]
    return store.uri


@pytest.fixture
def stopped(stopped_once, tmp_path):
    shutil.copytree(stopped_once, tmp_path / "store")
    return open_store(str(tmp_path / "store"))


def found(document):
    return {entry["what"]: entry for entry in document["found"]}


def test_what_missing_cells_would_start_from_stays_and_the_sweep_ends_equal(stopped, tmp_path):
    kept = stopped.checkpoints.kept()
    document = gc(stopped)
    assert document["dropped_files"] == 0
    entry = found(document)[ABANDONED]
    assert (entry["sweep"], entry["files"], entry["dropped"]) == ("small", len(kept), False)
    assert entry["bytes"] == sum(
        stored.size_bytes for key, stored in stopped.blobs.inventory().items() if "eckp" in key
    )
    assert stopped.checkpoints.kept() == kept
    again = LocalRun(YAML, stopped).run()
    alone = open_store(str(tmp_path / "alone"), create=True)
    LocalRun(YAML, alone).run()
    assert rows(stopped) == rows(alone)
    assert again.scheduler.flops_spent < again.plan.flops_planned


def test_the_training_that_checkpoints_of_an_unfinished_sweep_hold_is_said(stopped):
    plan = make_plan(parse_sweep(YAML))
    (stage_id,) = stopped.checkpoints.kept()
    stage, (_, step) = plan.tree.stages[stage_id], stopped.checkpoints.reached(stage_id)
    assert stage.parent is None
    entry = found(gc(stopped, dry_run=True))[ABANDONED]
    assert entry["training_flops"] == round(stage.flops * step / stage.steps)
    assert entry["training_hours"] > 0


def test_an_unfinished_sweep_loses_its_checkpoints_where_it_is_named_or_a_person_says_so(stopped):
    assert gc(stopped, ask=lambda question: False)["dropped_files"] == 0
    asked = []

    def yes(question):
        asked.append(question)
        return True

    kept = stopped.checkpoints.kept()
    document = gc(stopped, ask=yes)
    assert document["dropped_files"] == len(kept)
    assert asked[0].startswith("small is not finished: drop its checkpoints (1 files, ")
    assert stopped.checkpoints.kept() == {}


def test_naming_an_unfinished_sweep_is_consent(stopped):
    assert gc(stopped, sweep="small")["dropped_files"] == 1
    assert stopped.checkpoints.kept() == {}
    with pytest.raises(BadInput, match="no sweep 'smal'"):
        gc(stopped, sweep="smal")


def test_checkpoints_of_a_finished_sweep_and_of_an_edited_grid_go(stopped):
    record(stopped, YAML.replace("params: [2k]", "params: [3k]"))  # under the same name: the trunk of 2k is no one's
    document = gc(stopped)
    assert [entry["what"] for entry in document["found"]] == [UNNEEDED]
    assert document["dropped_files"] == 1
    assert stopped.checkpoints.kept() == {}


def test_a_checkpoint_behind_another_that_is_done_is_not_needed(stopped):
    plan = make_plan(parse_sweep(YAML))
    below = next(s for s in plan.tree if s.parent in stopped.checkpoints.kept() and s.kind == "trunk")
    for stage in (below, plan.tree.stages[below.parent]):
        stopped.checkpoints.drop(stage.id)
        stopped.checkpoints.save(stage.id, Progress.DONE, stage.stop_step, b"x" * 1_200_000)
    for cell in (s.cell for s in plan.tree.below(below.id) if s.cell):
        assert cell.id not in stopped.done()
    others = {c.id for c in plan.cells} - {s.cell.id for s in plan.tree.below(below.id) if s.cell}
    stopped.save_sweep(
        "small",
        {"sweep": plan.sweep.canonical(), "cells": [c.id for c in plan.cells if c.id not in others]},
    )
    document = gc(stopped)
    assert found(document)[UNNEEDED]["bytes"] == 1_200_000
    assert list(stopped.checkpoints.kept()) == [below.id]


def test_a_sweep_whose_driver_is_at_work_is_left_alone(stopped):
    kept = stopped.checkpoints.kept()
    lease = take_lease(stopped, "small")
    for answer in (gc(stopped), gc(stopped, sweep="small"), gc(stopped, ask=lambda question: True)):
        assert answer["dropped_files"] == 0
        assert answer["left_alone"] == [{"sweep": "small", "why": "its driver is at work"}]
    assert stopped.checkpoints.kept() == kept
    lease.give_back()
    assert gc(stopped, sweep="small")["dropped_files"] == 1


def test_a_driver_that_begins_while_a_person_is_asked_keeps_its_checkpoints(stopped):
    kept = stopped.checkpoints.kept()

    def yes_but_late(question):
        take_lease(open_store(stopped.uri), "small")
        return True

    document = gc(stopped, ask=yes_but_late)
    assert document["dropped_files"] == 0
    assert document["left_alone"][0]["why"].startswith("another driver is at work on small")
    assert stopped.checkpoints.kept() == kept


def test_a_sweep_that_cannot_be_planned_here_is_named_and_may_need_what_no_other_does(stopped, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text(" ".join(str(number**3) for number in range(9_000)))
    text = YAML.replace("{source: python-stdlib, max", f"{{source: text, paths: [{notes}], max").replace(
        "small", "mine"
    )
    record(stopped, text.replace("512", "64"))
    stopped.checkpoints.save("ab" * 32, Progress.BEGUN, 3, b"whose is it?")
    shutil.rmtree(notes)
    document = gc(stopped)
    (left,) = document["left_alone"]
    assert left["sweep"] == "mine"
    assert left["why"].startswith("it can't be planned here: ")
    assert document["dropped_files"] == 0
    assert "ab" * 32 in stopped.checkpoints.kept()
    document = gc(stopped, sweep="small")
    assert (document["dropped_files"], set(stopped.checkpoints.kept())) == (1, {"ab" * 32})


def test_what_an_older_scalaw_and_killed_writers_left_goes_once_it_is_old(stopped):
    root = stopped.blobs.root
    older = root / "checkpoints" / ("cd" * 32)
    older.write_bytes(b"x" * 500)
    young, old = (root / "results" / f".tmp-{digit * 32}" for digit in "01")
    mark = root / "logs" / "mark-1234"
    for path in (young, old, mark):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half a part")
    for path in (old, mark):
        os.utime(path, (time.time() - 90_000,) * 2)
    kept = stopped.checkpoints.kept()
    document = gc(stopped, dry_run=True)
    assert (found(document)[OLDER]["bytes"], found(document)[TEMPORARY]["files"]) == (500, 2)
    assert document["dropped_files"] == 0
    assert older.exists()
    document = gc(stopped)
    assert document["dropped_files"] == 3
    assert [path.exists() for path in (older, young, old, mark)] == [False, True, False, False]
    assert stopped.checkpoints.kept() == kept


def test_a_checkpoint_file_of_an_older_scalaw_does_not_stand_in_the_way(stopped):
    plan = make_plan(parse_sweep(YAML))
    stage = next(stage for stage in plan.tree if stage.kind == "cooldown")
    (stopped.blobs.root / "checkpoints" / stage.id).write_bytes(b"state")
    assert drop_older_layout(stopped) == 1
    stopped.checkpoints.save(stage.id, Progress.DONE, stage.stop_step, b"state")
    assert stopped.checkpoints.kept()[stage.id] is Progress.DONE


def test_after_a_run_no_checkpoint_is_left_unless_another_sweep_is_unfinished(stopped):
    LocalRun(YAML, stopped).run()
    stopped.checkpoints.save("ef" * 32, Progress.DONE, 3, b"of a grid that was edited since")
    plan = record(stopped, YAML.replace("small", "other").replace("2k", "3k"))
    assert tidy_after_run(stopped) == 0
    record(stopped, YAML.replace("small", "other").replace("2k", "3k"), selection={"reached": "it is known"})
    assert len(set(stopped.done()) & {cell.id for cell in plan.cells}) == 0
    assert tidy_after_run(stopped) == 1
    assert stopped.checkpoints.kept() == {}


def test_a_run_that_finds_everything_there_drops_what_a_killed_driver_left(stopped):
    LocalRun(YAML, stopped).run()
    stopped.checkpoints.save("ef" * 32, Progress.BEGUN, 3, b"x" * 1_200_000)
    result = run_sweep(parse_sweep(YAML), store=stopped.uri, console=Console(file=io.StringIO()))
    assert (result.rows, result.missing) == (4, 0)
    assert stopped.checkpoints.kept() == {}


def test_the_facade_has_it(stopped):
    assert facade.gc(stopped.uri, dry_run=True) == gc(stopped, dry_run=True)


def test_a_sweep_whose_record_is_damaged_may_need_any_checkpoint(stopped):
    stopped.checkpoints.save("ab" * 32, Progress.BEGUN, 3, b"whose is it?")
    stopped.save_sweep("broken", {"sweep": {}, "cells": []})
    (path,) = (stopped.blobs.root / "sweeps" / "broken").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    document = gc(open_store(stopped.uri))
    assert document["dropped_files"] == 0
    assert document["left_alone"] == [{"sweep": "sweeps/broken/1.json", "why": "it can't be read"}]
    stopped.save_sweep("small", {"sweep": {}, "cells": []})
    assert tidy_after_run(open_store(stopped.uri)) == 0
    path.unlink()
    assert gc(open_store(stopped.uri))["dropped_files"] == 2


def test_an_older_version_of_a_sweep_has_no_checkpoints_of_its_own(stopped):
    record(stopped, YAML.replace("epochs: [1, 2]", "epochs: [1]"))
    with pytest.raises(BadInput, match="`sweep` small@1: checkpoints are kept for a sweep's newest version"):
        gc(stopped, sweep="small@1")
    assert gc(stopped)["dropped_files"] == 0, "the shorter grid begins with the same trunk"
