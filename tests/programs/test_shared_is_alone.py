"""Cells of a program share their training and have the losses that they have alone, to the bit."""

from __future__ import annotations

from itertools import pairwise

import pytest

from orchestrator.store import open_store
from orchestrator.store.sql import query

pytestmark = pytest.mark.slow
LOSSES = ("val_loss", "metrics", "flops", "steps")


def losses(run, rows):
    return {cell: tuple(row[name] for name in LOSSES) for cell, row in rows(run).items()}


def curves(run):
    points = "select cell_id, step, examples, train_loss loss from curves"
    cells = "select cell_id, data_examples d, epochs e from results"
    return query(
        run.store, f"select * exclude (cell_id) from ({points}) join ({cells}) using (cell_id) order by d, e, step"
    )


def test_cells_that_share_are_equal_to_those_alone_and_start_as_many_processes(lead, sweep_of, rows, starts):
    shared = lead(sweep_of(), "shared")
    begun = starts()
    alone = lead(sweep_of(), "alone", share=False)
    assert len(losses(shared, rows)) == 4
    assert losses(shared, rows) == losses(alone, rows)
    assert len(begun) == 4, begun
    assert len(starts()) - len(begun) == 4
    steps = [int(stop) - int(start) for start, stop in (each.split("-") for each in begun)]
    assert sum(steps) == shared.plan.to_json()["steps_planned"] < alone.plan.to_json()["steps_planned"]
    assert {row["sharing"] for row in rows(shared).values()} == {"exact"}


def test_what_a_program_tells_of_its_steps_becomes_each_cells_curve(lead, sweep_of, rows):
    run = lead(sweep_of(), "told")
    for row in rows(run).values():
        there = query(run.store, f"select * from curves where cell_id = '{row['cell_id']}'")
        assert [point["step"] for point in there] == list(range(1, row["steps"] + 1))
        assert there[-1]["flops"] == pytest.approx(row["flops"])
        assert all(point["train_loss"] > 0 for point in there)
        assert all(a["seconds"] <= b["seconds"] for a, b in pairwise(there))
        assert there[-1]["seconds"] <= row["wall_s"]
    assert run.store.curve_points().num_rows == sum(stage.steps for stage in run.plan.tree)


@pytest.mark.parametrize("bad", ["raises once", "killed once", "leaves once"])
def test_a_process_that_ends_on_the_way_goes_on_from_its_newest_state_to_the_same_losses(lead, sweep_of, rows, bad):
    undisturbed = lead(sweep_of(), "undisturbed")
    often = ["resources.checkpoint_interval_s=0.01"]
    disturbed = lead(sweep_of(bad=bad, step_s=0.005), "disturbed", overrides=often)
    found, wanted = losses(disturbed, rows), losses(undisturbed, rows)
    assert found == wanted
    assert curves(disturbed) == curves(undisturbed)
    cause = {"leaves once": 0}.get(bad, 1)
    assert sum(disturbed.policy.counts.values()) == cause


def test_a_sweep_that_is_stopped_keeps_the_state_and_goes_on_from_it(lead, sweep_of, rows, starts):
    undisturbed = lead(sweep_of(), "undisturbed")
    before = len(starts())

    def stop(run, gang, stage, step):
        run.stop.asked = True

    often = ["resources.checkpoint_interval_s=0.02"]
    stopped = lead(sweep_of(step_s=0.005), "stopped", overrides=often, on_step=stop)
    assert losses(stopped, rows) != losses(undisturbed, rows)
    assert stopped.store.checkpoints.kept()
    went_on = lead(sweep_of(step_s=0.005), "stopped", overrides=often)
    assert losses(went_on, rows) == losses(undisturbed, rows)
    assert curves(went_on) == curves(undisturbed)
    assert any(not each.startswith("0-") for each in starts()[before + 1 : before + 2]), starts()


def test_a_worker_that_dies_takes_its_process_along_and_the_cells_come_out_the_same(lead, sweep_of, rows):
    undisturbed = lead(sweep_of(), "undisturbed")
    killed = []

    def kill(run, gang, stage, step):
        if not killed:
            killed.append(gang)
            run.pool.kill(gang)

    often = ["resources.checkpoint_interval_s=0.02"]
    run = lead(sweep_of(step_s=0.005), "killed", overrides=often, on_step=kill)
    assert killed
    assert losses(run, rows) == losses(undisturbed, rows)
    assert curves(run) == curves(undisturbed)


def test_without_the_promise_of_a_prefix_cells_of_one_amount_alone_share_and_are_equal_to_those_alone(
    lead, sweep_of, rows, linear
):
    manifest = linear / "program.toml"
    manifest.write_text(manifest.read_text() + "data_prefix = false\n")
    shared = lead(sweep_of(), "shared")
    alone = lead(sweep_of(), "alone", share=False)
    assert losses(shared, rows) == losses(alone, rows)
    roots = [stage for stage in shared.plan.tree if stage.parent is None]
    assert sorted(stage.stream_examples for stage in roots) == [200, 400]


def test_a_rows_identity_follows_the_sources_and_not_the_other_files(lead, sweep_of, linear, tmp_path):
    first = lead(sweep_of())
    (linear / "notes.txt").write_text("anything")
    assert {c.id for c in lead(sweep_of(), "second").plan.cells} == {c.id for c in first.plan.cells}
    (linear / "more.py").write_text("x = 1\n")
    changed = lead(sweep_of(), "third")
    assert not {c.id for c in changed.plan.cells} & {c.id for c in first.plan.cells}
    assert open_store(str(tmp_path / "third")).results().num_rows == 4
