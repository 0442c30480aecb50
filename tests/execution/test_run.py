"""Runs on a real Ray: rows, resume, failures, lost workers, interruption."""

from __future__ import annotations

import os
import signal
import time

import pytest

from orchestrator.errors import BadInput, ClusterLost, Interrupted
from orchestrator.execution.cluster.watch import ClusterWatch
from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.store import open_store
from orchestrator.store.cell_row import failure_row

pytestmark = pytest.mark.slow


def test_a_simulated_sweep_gives_back_its_exponents_inside_their_intervals(cluster, sweep, tmp_path, console):
    result = run_sweep(sweep(), store=str(tmp_path / "s"), console=console)
    assert (result.rows, result.failed, result.missing) == (27, 0, 0)
    params = result.report.fits["product"].params
    for name, truth in (("alpha", 0.3), ("beta", 0.25), ("gamma", 0.1)):
        assert params[name].lo <= truth <= params[name].hi
    assert result.flops_spent == make_plan(sweep()).flops_planned
    rows = open_store(str(tmp_path / "s")).results().to_pylist()
    assert all(row["simulated"] and row["status"] == "ok" for row in rows)


def test_running_a_finished_sweep_again_does_nothing(cluster, sweep, tmp_path, console):
    store = str(tmp_path / "s")
    run_sweep(sweep(), store=store, console=console)
    parts = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*.parquet")}
    again = run_sweep(sweep(), store=store, console=console)
    assert (again.rows, again.flops_spent) == (27, 0)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*.parquet")} == parts


def test_a_larger_grid_trains_only_the_new_cells(cluster, sweep, tmp_path, console):
    store = str(tmp_path / "s")
    run_sweep(sweep(), store=store, console=console)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "s/results").iterdir()}
    larger = sweep(overrides=["grid.params=[1k, 3k, 10k, 30k]"])
    result = run_sweep(larger, store=store, console=console)
    assert result.rows == 36
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "s/results").iterdir()}
    assert before.items() < after.items()
    plan = make_plan(larger)
    assert result.flops_spent == sum(s.flops for s in plan.tree if s.shape.params_total == 30_000)


@pytest.mark.nightly
def test_a_real_transformer_run_has_shared_rows_equal_to_those_alone(
    cluster, sweep, transformer_yaml, tmp_path, console
):
    parsed = sweep(transformer_yaml)
    shared = run_sweep(parsed, store=str(tmp_path / "shared"), console=console)
    alone = run_sweep(parsed, store=str(tmp_path / "alone"), share=False, console=console)
    columns = ["cell_id", "train_loss", "val_loss", "test_loss", "accuracy", "flops", "steps"]

    def measured(name):
        rows = open_store(str(tmp_path / name)).results().select(columns).to_pylist()
        return sorted(rows, key=lambda row: row["cell_id"])

    assert measured("shared") == measured("alone")
    assert len(measured("shared")) == 6
    assert shared.flops_spent < alone.flops_spent


@pytest.mark.nightly
def test_one_distinct_size_ends_well_with_a_warning(cluster, sweep, transformer_yaml, tmp_path, console):
    result = run_sweep(sweep(transformer_yaml), store=str(tmp_path / "s"), console=console)
    assert result.failed == 0
    assert any("n" in warning for warning in result.answer.warnings)


@pytest.mark.nightly
def test_a_diverging_cell_costs_only_itself_and_is_kept_with_its_traceback(
    cluster, sweep, transformer_yaml, tmp_path, console
):
    store = str(tmp_path / "s")
    wild = sweep(transformer_yaml, overrides=["train.learning_rate=1e30", "train.gradient_clip=1e30"])
    result = run_sweep(wild, store=store, console=console)
    assert (result.rows, result.failed) == (0, 6)
    rows = open_store(store).results().to_pylist()
    assert all(row["status"] == "failed" and "Diverged" in row["error"] and row["attempt"] == 1 for row in rows)
    kept = run_sweep(wild, store=store, console=console)
    assert (kept.failed, kept.flops_spent) == (6, 0)
    retried = run_sweep(wild, store=store, retry_failed=True, console=console)
    assert retried.failed == 6


@pytest.mark.nightly
def test_a_stage_over_its_time_limit_fails_its_cells_alone(cluster, sweep, tmp_path, console):
    limits = ["model.stage_s=30", "resources.stage_timeout_s=0.5", "resources.workers=2",
              "grid.params=[1k, 3k]", "grid.data_fraction=1", "grid.epochs=1"]  # fmt: skip
    begun = time.monotonic()
    result = run_sweep(sweep(overrides=limits), store=str(tmp_path / "s"), console=console)
    assert result.failed == 2
    assert time.monotonic() - begun < 60
    rows = open_store(str(tmp_path / "s")).results().to_pylist()
    assert all("stage_timeout_s" in row["error"] for row in rows)


def test_a_cluster_that_can_not_run_the_sweep_costs_no_failure_row_and_leaves_no_sweep(
    cluster, sweep, tmp_path, console
):
    too_large, new, old = sweep(overrides=["resources.cpus_per_worker=500"]), tmp_path / "new", tmp_path / "old"
    with pytest.raises(BadInput, match="too few for one worker"):
        run_sweep(too_large, store=str(new), address="auto", console=console)
    assert not [path for path in new.rglob("*") if path.is_file()]

    store, plan = open_store(str(old), create=True), make_plan(too_large)
    store.commit_row(failure_row(plan.cells[0], plan.context, error="no luck", attempt=1, worker="w"))
    with pytest.raises(BadInput, match="too few for one worker"):
        run_sweep(too_large, store=str(old), address="auto", retry_failed=True, console=console)
    assert store.done() == {plan.cells[0].id: "failed"}
    result = run_sweep(sweep(), store=str(old), retry_failed=True, console=console)
    assert (result.rows, result.failed) == (27, 0)


def test_a_ray_that_the_signal_has_ended_too_is_not_waited_for(
    cluster, sweep, drivers, tmp_path, console, monkeypatch, when
):
    def check(watch):
        if drivers[0].stop.asked:
            raise ClusterLost("gone")

    monkeypatch.setattr(ClusterWatch, "check", check)
    store = open_store(str(tmp_path), create=True)
    struck = when(lambda: len(store.done()) >= 2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match=r"Ray was ended by the signal .* run the same command again to go on"):
        run_sweep(sweep(overrides=["model.stage_s=0.2"]), store=str(tmp_path), console=console)
    struck.result()
    assert 2 <= len(store.done()) < 27
