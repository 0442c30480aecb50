"""A sweep of a trainer that is a process of its own and needs some milliseconds to start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.programs.program import read_program
from orchestrator.store import open_store
from tests.execution.local import LocalRun

HERE = Path(__file__).parent
SWEEP = """\
name: lines
seed: 3
data: {{source: program, eval_examples: 40}}
model: {{family: program, options: {options}}}
grid: {{params: [4], data_fraction: [0.5, 1.0], epochs: [1, 2]}}
train: {{learning_rate: 0.01, batch_size: 8, warmup_steps: 5}}
resources: {{max_retries: 1}}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def linear(tmp_path):
    """The trainer in a folder of this test's own."""
    shutil.copytree(HERE / "linear", tmp_path / "linear")
    return tmp_path / "linear"


@pytest.fixture
def sweep_of(tmp_path):
    """The sweep's text, with what the trainer is told."""
    outside = tmp_path / "outside"
    outside.mkdir()
    return lambda **options: SWEEP.format(options=json.dumps({"outside": str(outside), **options}))


@pytest.fixture
def starts(tmp_path):
    """Which steps each process that trained was to do, in order."""
    return lambda: (tmp_path / "outside" / "starts").read_text().split()


@pytest.fixture
def lead(tmp_path, linear):
    """Lead a sweep to its rows on the in-process pool."""

    def led(text, store="store", **keywords):
        program = keywords.pop("program", None) or read_program(linear / "program.toml")
        run = LocalRun(text, open_store(str(tmp_path / store), create=True), program=program, **keywords)
        return run.run()

    return led


@pytest.fixture
def rows():
    """Rows of a store by what they are: N, D and E."""

    def found(run):
        table = run.store.results().to_pylist()
        return {(row["params_non_embedding"], row["data_examples"], row["epochs"]): row for row in table}

    return found
