"""The command line, called in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.store import open_store

#: Compression method, label, share of bytes, loss added, latency.
VARIANTS = (
    (None, None, 1.0, 0.0, 2e-3),
    ("quantize", "4 bits", 0.2, 0.05, 2.1e-3),
    ("quantize", "2 bits", 0.1, 0.9, 2.1e-3),
    ("prune", "structured, density 0.5", 0.5, 0.3, 1e-3),
)


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


@pytest.fixture
def measured_store(tmp_path):
    """A store of 9 pretrained cells (Chinchilla losses, 9·n·d·e FLOPs) with three compressed children each."""
    where = tmp_path / "measured"
    store = open_store(str(where), create=True)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    cells = [(n, d, v) for n in (10_000, 40_000, 160_000) for d in (100_000, 400_000, 1_600_000) for v in VARIANTS]
    for number, (n, d, (method, label, share, damage, latency_s)) in enumerate(cells):
        store.commit_row(
            {
                "cell_id": f"{number:064x}", "task": "text", "seed": 0, "status": "ok", "simulated": False,
                "started_at": at, "finished_at": at, "params_non_embedding": n, "data_tokens": d,
                "data_examples": d // 64, "epochs": 1, "flops": 9.0 * n * d,
                "compression": label, "compression_method": method, "epsilon": share, "fidelity": 1.0,
                "val_loss": 1.5 + 60 / n**0.4 + 60 / d**0.3 + damage,
                "model_bytes": int(4 * n * share), "latency_p50_s": latency_s * (n / 10_000) ** 0.5,
            }
        )  # fmt: skip
    cell_ids = [f"{number:064x}" for number in range(len(cells))]
    store.save_sweep("measured", {"sweep": {"fit": {"bootstrap": 100}}, "task": "text", "cells": cell_ids})
    return where
