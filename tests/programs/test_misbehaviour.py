"""Whatever a program does wrong costs the one cell, and its row says what it was."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.programs.guardian import carriers
from workers.messages import Cause

TWO = ["grid.params=[4, 5]", "grid.data_fraction=[1.0]", "grid.epochs=[1]"]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("bad", "cause", "times", "said"),
    [
        ("raises", Cause.RAISED, 2, r"ProgramFailed: linear ended with exit 1 after step 11: RuntimeError: eleven"),
        ("refuses", Cause.REFUSED, 1, r"TaskRefused: linear refuses the task with exit 78: this task is bad"),
        ("nan", Cause.DIVERGED, 1, r"ProgramDiverged: the training loss is None after step 12"),
        ("null", Cause.DIVERGED, 1, r"ProgramDiverged: the validation loss is null after step 50"),
        ("infinity", Cause.DIVERGED, 1, r"result.json holds NaN or an infinity"),
        ("counts", Cause.REFUSED, 1, r"result.json: params_total is 7, and the task and the description say 6"),
        ("large result", Cause.REFUSED, 1, r"result.json has more than 1,000,000 bytes"),
        ("no result", Cause.REFUSED, 1, r"ended with exit 0 and left no result.json"),
        ("link", Cause.REFUSED, 1, r"the state \d+ holds a link: link; only files and folders are taken"),
        ("metrics", Cause.REFUSED, 1, r"metrics.jsonl has a line of more than 4,096 bytes"),
        ("hangs", Cause.STALLED, 3, r"linear wrote no line of metrics for 0.5 s \(silence_s\) after step 11"),
    ],
)
def test_it_costs_one_cell_and_the_row_says_why(lead, sweep_of, rows, linear, bad, cause, times, said):
    manifest = linear / "program.toml"
    manifest.write_text(manifest.read_text().replace("silence_s = 20", "silence_s = 0.5"))
    overrides = [*TWO, *(["resources.checkpoint_interval_s=0.001"] if bad == "link" else [])]
    text = sweep_of(bad=bad, bad_width=5, step_s=0.005 if bad == "link" else 0)
    run = lead(text, overrides=overrides)
    good, failed = (rows(run)[size, 400, 1] for size in (4, 5))
    assert good["status"] == "ok"
    assert good["val_loss"] < 0.1
    assert failed["status"] == "failed"
    assert run.policy.counts == {cause: times}
    last = failed["error"].splitlines()[-1]
    assert re.search(said, last), last


def test_what_a_program_says_without_end_fills_nothing_and_its_end_stands_in_the_row_of_a_failure(lead, sweep_of, rows):
    fine = rows(lead(sweep_of(bad="endless log"), "log", overrides=[*TWO, "grid.params=[4]"]))
    assert [row["status"] for row in fine.values()] == ["ok"]
    failed = rows(lead(sweep_of(bad="raises"), "raises", overrides=[*TWO, "grid.params=[4]"]))
    [error] = [row["error"] for row in failed.values()]
    assert "Traceback (most recent call last)" in error
    assert len(error) < 4_000


def test_numbers_that_are_no_columns_are_kept_as_metrics(lead, sweep_of, rows):
    [row] = rows(lead(sweep_of(), overrides=[*TWO, "grid.params=[4]"])).values()
    assert json.loads(row["metrics"]) == {"steps_done": 50.0}
    assert (row["device_kind"], row["threads"], row["world_size"]) == ("cpu", 1, 1)
    assert row["flops"] == 6 * 4 * 8 * 50


def test_no_process_outlives_the_one_that_led_it(tmp_path):
    from orchestrator.programs.guardian import Guardian
    from orchestrator.programs.process import TaskProcess

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    child = os.fork()
    if not child:
        guardian = Guardian(scratch)
        script = "import subprocess, time; subprocess.Popen(['sleep', '100'], start_new_session=True); time.sleep(100)"
        TaskProcess(["python", "-c", script], tmp_path, scratch / "task.json", {"PATH": os.environ["PATH"]}, guardian)
        time.sleep(100)
    task = f"{scratch}/"
    until(lambda: len(carriers(task)) == 2)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    until(lambda: not carriers(task) and not scratch.exists())


def test_sources_that_change_under_a_sweep_are_refused_and_not_taken_for_the_planned_ones(lead, sweep_of, rows, linear):
    def edit(run, gang, stage, step):
        with suppress(FileExistsError):
            Path(linear / "more.py").touch(exist_ok=False)

    run = lead(
        sweep_of(step_s=0.005),
        overrides=[*TWO, "resources.checkpoint_interval_s=0.02"],
        on_step=edit,
    )
    first, second = sorted(rows(run).values(), key=lambda row: row["status"])
    assert "are not those that the sweep was planned with: run it again" in first["error"]
    assert second["status"] == "ok"


def until(moment, within_s=20.0):
    late = time.monotonic() + within_s
    while not moment():
        assert time.monotonic() < late
        time.sleep(0.02)
