"""Programs that keep plain weights: their means and compressed variants are made here, and scored by them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.programs.program import read_program

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
SWEEP = """\
name: clouds
seed: 3
data: {{source: program, eval_examples: 80}}
model: {{family: program, options: {options}}}
grid:
  params: [1200]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2]
  compression: {compression}
train: {{learning_rate: 0.05, batch_size: 8, warmup_steps: 5, schedule: {schedule}, cooldown_fraction: 0.4}}
resources: {{max_retries: 1}}
"""
WAYS = "[{method: quantize, bits: 4}, {method: prune, density: 0.5}, {method: low_rank, rank_ratio: 0.5}]"
FIGURES = ("val_loss", "accuracy", "model_bytes", "bits_per_param", "density", "rank_ratio", "epsilon", "fidelity")


@pytest.fixture
def plain(tmp_path):
    """The trainer that keeps plain weights, in a folder of this test's own."""
    shutil.copytree(HERE / "plain", tmp_path / "plain")
    return read_program(tmp_path / "plain" / "program.toml")


@pytest.fixture
def clouds(tmp_path):
    """The sweep's text."""
    (tmp_path / "outside").mkdir()

    def text(schedule="wsd", compression=WAYS, **options):
        told = json.dumps({"outside": str(tmp_path / "outside"), **options})
        return SWEEP.format(options=told, schedule=schedule, compression=compression)

    return text


def figures(run):
    """Return what was measured of each cell, by its id."""
    table = run.store.results().to_pylist()
    assert [row["error"] for row in table if row["status"] != "ok"] == []
    return {row["cell_id"]: tuple(row[name] for name in FIGURES) for row in table}


def test_means_of_windows_of_cells_that_share_are_those_of_cells_alone(lead, clouds, plain):
    text = clouds("wsm", "[{method: quantize, bits: 4}]")
    shared = lead(text, "shared", program=plain)
    alone = lead(text, "alone", program=plain, share=False)
    assert len(figures(shared)) == 8
    assert figures(shared) == figures(alone)


def test_compressed_variants_of_cells_that_share_are_those_of_cells_alone(lead, clouds, plain):
    few = ["grid.epochs=[1]"]
    shared = lead(clouds(), "shared", program=plain, overrides=few)
    alone = lead(clouds(), "alone", program=plain, overrides=few, share=False)
    assert len(figures(shared)) == 8
    assert figures(shared) == figures(alone)
    rows = {row["compression_method"]: row for row in shared.store.results().to_pylist() if row["data_examples"] == 400}
    assert rows[None]["epsilon"] == 1.0
    assert {name: rows[name]["bits_per_param"] < 32 for name in rows if name} == dict.fromkeys(
        ("quantize", "prune", "low_rank"), True
    )
    assert rows["quantize"]["epsilon"] == rows["quantize"]["model_bytes"] / rows[None]["model_bytes"] < 0.5
    assert rows["prune"]["fidelity"] == rows["prune"]["accuracy"] / rows[None]["accuracy"]
    assert (rows["prune"]["density"], rows["low_rank"]["rank_ratio"]) == (0.5, 0.5)
