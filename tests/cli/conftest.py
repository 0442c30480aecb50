"""The command line, called in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a verb answered."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as the one JSON document that it must be."""
        return json.loads(self.out)


@pytest.fixture
def scalaw(capsys):
    def call(*arguments) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Answer(int(exit_.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def simulated(tmp_path, simulated_yaml):
    path = tmp_path / "s.yaml"
    path.write_text(simulated_yaml)
    return path


@pytest.fixture
def runs_csv(tmp_path):
    """A noiseless Chinchilla table in somebody's own columns."""
    path = tmp_path / "runs.csv"
    lines = [
        f"{n},{d},{1.7 + 400 / n**0.34 + 900 / d**0.36:.10f}"
        for n in (1e7, 3e7, 1e8, 3e8, 1e9)
        for d in (1e9, 4e9, 1.6e10, 6.4e10)
    ]
    path.write_text("size,tok,l\n" + "\n".join(lines) + "\n")
    return path
