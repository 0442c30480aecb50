"""A program goes along with a job whole, and a cell of it can be trained anew to its state."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from orchestrator.cli.job import words
from orchestrator.errors import BadInput
from orchestrator.execution.export import export
from orchestrator.programs.program import read_program
from orchestrator.submission.order import JobOrder
from orchestrator.submission.package import pack
from orchestrator.submission.submit import _below, _identity

ORDER = {
    "file": "sweep.yaml", "text": "", "overrides": [], "store": "s3://lab/x", "share": True, "retry_failed": False,
    "budget_fraction": None, "proof": None, "python": "3.11",
}  # fmt: skip


def test_a_job_runs_the_program_that_was_consented_to_where_it_arrives():
    order = JobOrder(**ORDER, program="mine/program.toml", program_digest="ab")
    assert words(JobOrder.from_text(order.to_text()), "s.yaml")[-2:] == ["--program", "mine/program.toml"]
    assert "--program" not in words(JobOrder(**ORDER), "s.yaml")


def test_a_program_whose_sources_changed_is_another_job(sweep):
    jobs = [
        _identity(sweep(), JobOrder(**ORDER, program="p", program_digest=digest), ()) for digest in ("a", "b", None)
    ]
    assert len(set(jobs)) == 3


def test_its_folder_is_sent_with_what_git_ignores_in_it_and_nothing_else_that_git_ignores(linear, tmp_path):
    root = tmp_path / "work"
    (root / "secret").mkdir(parents=True)
    linear.rename(root / "mine")
    for name in ("mine/data/train.bin", "secret/train.bin", "mine/.env", "notes.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    (root / ".gitignore").write_text("*.bin\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    program, below = _below(root, root / "mine" / "program.toml")
    assert below == "mine"
    pack(root, tmp_path / "job.zip", "job", (), (), (below,))
    sent = {
        name for name in zipfile.ZipFile(tmp_path / "job.zip").namelist() if not name.startswith(("sc", "or", "wo"))
    }
    assert sent == {"mine/data/train.bin", "mine/program.toml", "mine/train.py", "notes.txt"}
    with pytest.raises(BadInput, match=r"is not below .*, the folder that is sent: name one that holds both"):
        _below(root / "secret", program.folder)


def test_on_a_node_with_nothing_but_the_order_the_sources_are_written_down(linear, tmp_path):
    program = read_program(linear / "program.toml")
    linear.rename(tmp_path / "gone")
    place = program.place(tmp_path / "spare")
    assert place == tmp_path / "spare"
    assert Path(place, "train.py").read_bytes() == Path(tmp_path, "gone", "train.py").read_bytes()


@pytest.mark.slow
def test_a_cell_is_trained_anew_to_its_state_with_the_loss_of_its_row(lead, sweep_of, linear, tmp_path):
    run = lead(sweep_of())
    run.store.save_sweep("lines", {"sweep": run.plan.sweep.canonical(), "cells": [c.id for c in run.plan.cells]})
    cell, program = run.plan.cells[-1].id, read_program(linear / "program.toml")
    found = export(run.store.uri, cell, str(tmp_path / "model"), lambda sentence: None, (), program)
    assert found["val_loss"] == found["val_loss_of_row"]
    weights, _, _ = json.loads((tmp_path / "model" / "state" / "state.json").read_text())
    assert len(weights) == 4
    assert json.loads((tmp_path / "model" / "row.json").read_text())["cell_id"] == cell
    with pytest.raises(BadInput, match="needs your consent"):
        export(run.store.uri, cell, str(tmp_path / "other"), lambda sentence: None)
    assert not (tmp_path / "other").exists()
