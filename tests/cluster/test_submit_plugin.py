"""A family of one's own goes to a cluster with the sweep: driver and workers there have its code from nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.store import open_store

EXAMPLE = Path(__file__).parents[2] / "examples/plugin"
pytestmark = [pytest.mark.slow, pytest.mark.nightly]


def test_a_submitted_sweep_takes_its_code_along(nodes, tmp_path):
    store = nodes.folder / "own"
    (cwd := nodes.folder / "elsewhere").mkdir()
    command = [
        Path(sys.executable).parent / "scalaw", "submit", EXAMPLE / "sweep.yaml", "--plugin", EXAMPLE / "plugin.py",
        "--address", nodes.url, "--store", store, "--wait", "--set", "grid.params=[1k]", "--set", "grid.epochs=[1, 2]",
    ]  # fmt: skip
    words = [str(word) for word in command]
    ended = subprocess.run(words, cwd=cwd, env=nodes.env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    rows = open_store(str(store)).results().to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * 6
