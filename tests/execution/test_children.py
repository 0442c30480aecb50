"""Fine-tuned and compressed children on a real Ray: shared as exactly as their parents, fitted with six exponents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.analysis.inputs import from_store
from orchestrator.cli.main import main
from orchestrator.errors import BadInput
from orchestrator.execution.export import export
from orchestrator.execution.run import run_sweep
from orchestrator.spec import load_sweep, parse_sweep
from orchestrator.store import open_store

from .local import LocalRun, new_store

SWEEPS = Path(__file__).parents[2] / "sweeps"
SIMULATED = """\
name: six
data: {source: simulated, examples: 100k}
model:
  {family: simulated, C: 20, floor: 0, noise: 0.005, alpha: 0.3, beta: 0.25, gamma: 0.1, delta: 0.15, zeta: 0.05,
   eta: 0.2}
grid:
  params: [1k, 3k, 10k]
  data_fraction: [0.1, 0.3, 1.0]
  epochs: [1, 2]
  finetune: {data: simulated, examples: [1k, 4k], epochs: [1, 2, 4]}
  compression:
    - {method: quantize, bits: 8}
    - {method: prune, density: 0.5}
    - {method: chain, steps: [{method: low_rank, rank_ratio: 0.5}, {method: quantize, bits: 4}]}
train: {batch_size: 64, warmup_steps: 0}
fit: {laws: [product, chinchilla], bootstrap: 200}
"""
TRUE = {"alpha": 0.3, "beta": 0.25, "gamma": 0.1, "delta": 0.15, "zeta": 0.05, "eta": 0.2}
TEXT = """\
name: children
seed: 3
data: {source: python-stdlib, max_examples: 64, eval_examples: 16}
model: {family: transformer, context: 16}
grid:
  params: [1.5k]
  data_fraction: [0.5, 1.0]
  epochs: [1, 2]
  finetune: {data: c-headers, examples: [16], epochs: [1, 2], learning_rate: 0.002}
  compression:
    - {method: quantize, bits: 4}
    - {method: prune, density: 0.5, recover: {steps: 2}}
train: {batch_size: 8, warmup_steps: 2}
fit: {laws: [product], bootstrap: 50}
"""


def outcomes(folder):
    """What may not depend on how a cell came about, by its id."""
    names = ("task", "val_loss", "test_loss", "model_bytes", "epsilon", "fidelity", "flops", "steps")
    rows = open_store(str(folder)).results().to_pylist()
    return {row["cell_id"]: tuple(row[name] for name in names) for row in rows}


@pytest.mark.slow
def test_six_known_exponents_come_back_with_those_of_pretraining_beside_them(cluster, tmp_path, console):
    result = run_sweep(parse_sweep(SIMULATED), store=str(tmp_path), console=console)
    assert (result.rows, result.failed) == (18 + 18 * 6 * 4, 0)
    law = result.report.fits["product"]
    for name, true in TRUE.items():
        assert law.params[name].value == pytest.approx(true, abs=0.01)
        assert law.params[name].lo < law.params[name].value < law.params[name].hi
    assert result.report.best.law == "average"
    left_out = result.report.fits["chinchilla"]
    assert (left_out.n_rows, law.n_rows) == (18 * 6, 18 * 6 * 4)
    assert any("324 compressed rows are left out" in warning for warning in left_out.warnings)
    before = result.answer.fits_json()["pretraining"]["fits"]["product"]
    assert before["n_rows"] == 18
    assert before["params"].keys() == {"C", "alpha", "beta", "gamma"}
    assert before["params"]["alpha"]["value"] == pytest.approx(0.3, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["wsd", pytest.param("wsm", marks=pytest.mark.nightly)])
def test_rows_of_children_are_those_of_children_whose_parents_were_trained_for_them_alone(
    cluster, tmp_path, console, schedule
):
    sweep = parse_sweep(TEXT, overrides=[f"train.schedule={schedule}"])
    shared = run_sweep(sweep, store=str(tmp_path / "shared"), console=console)
    quick = [f"train.schedule={schedule}", "inference.measure=false"]
    alone = LocalRun(TEXT, new_store(tmp_path / "alone"), overrides=quick, share=False).run()
    assert (shared.rows, shared.failed, len(alone.store.done())) == (28, 0, 28)
    assert outcomes(tmp_path / "shared") == outcomes(alone.store.uri)
    assert shared.flops_spent < alone.plan.flops_planned / 3
    rows = open_store(str(tmp_path / "shared")).results().to_pylist()
    assert {row["task"] for row in rows} == {"python-stdlib", "c-headers"}
    assert all(row["latency_p50_s"] > 0 and row["peak_memory_bytes"] > row["params_total"] * 4 for row in rows)
    assert all(row["latency_p95_s_b32"] >= row["latency_p50_s_b32"] and row["backend"] == "eager" for row in rows)
    compressed = [row for row in rows if row["compression_method"]]
    assert all(row["epsilon"] < 1 and row["fidelity"] > 0 for row in compressed)


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run_sweep(parse_sweep(TEXT, overrides=["grid.epochs=2", "inference.measure=false"]), store=str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("method", ["quantize", "prune", None])
def test_an_exported_model_loads_in_a_fresh_process_with_the_loss_of_its_row(
    finished, tmp_path, method, capsys, one_thread
):
    torch.set_num_threads(2)  # a program that exports may have set any number
    rows = [r for r in open_store(str(finished)).results("children").to_pylist() if r["compression_method"] == method]
    row = max(rows, key=lambda row: (row["finetune_epochs"] or 0, row["data_examples"]))
    with pytest.raises(SystemExit) as left:
        main(["export", str(finished), row["cell_id"][:12], "-o", str(tmp_path / "model"), "--json"])
    assert not left.value.code
    found = json.loads(capsys.readouterr().out)
    assert found["val_loss"] == found["val_loss_of_row"] == row["val_loss"]
    assert found["model_bytes"] == row["model_bytes"] == (tmp_path / "model/model.safetensors").stat().st_size
    ran = subprocess.run(
        [sys.executable, tmp_path / "model/load.py"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stdout.strip() == "torch.Size([1, 16, 256])"
    assert json.loads((tmp_path / "model/row.json").read_text())["cell_id"] == row["cell_id"]


@pytest.mark.slow
def test_what_can_not_be_exported_is_said(finished, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/thing").write_text("x")
    cell = open_store(str(finished)).results()["cell_id"][0].as_py()
    with pytest.raises(BadInput, match="is there already"):
        export(str(finished), cell, str(tmp_path / "there"), print)
    with pytest.raises(BadInput, match="14 cells whose id begins with ''"):
        export(str(finished), "", str(tmp_path / "new"), print)
    with pytest.raises(BadInput, match="no cell whose id begins with 'nothing'"):
        export(str(finished), "nothing", str(tmp_path / "new"), print)
    said: list[str] = []
    for folder in (str(tmp_path / "there/thing/model"), "/proc/model"):
        with pytest.raises(BadInput, match=f"{folder} can't be written: .*; name another folder as `out`"):
            export(str(finished), cell, folder, said.append)
    assert said == [], "nothing was trained"


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", ["bytes", "fidelity", "bits"])
def test_epsilon_is_what_the_sweep_says_it_is(finished, epsilon):
    store = open_store(str(finished))
    document = store.sweeps()["children"]
    document["sweep"]["fit"]["epsilon"] = epsilon
    store.save_sweep("children", document)
    rows = [row for row in store.results("children").to_pylist() if row["task"] == "c-headers"]
    wanted = {
        "bytes": [row["epsilon"] for row in rows],
        "fidelity": [row["fidelity"] for row in rows],
        "bits": [row["bits_per_param"] / 32 for row in rows],
    }[epsilon]
    found = from_store(store, "children").axes["eps"].to_pylist()
    assert np.allclose(sorted(found), sorted(wanted))
    assert len(set(found)) > 2


def jpegs(root, classes, images, *, seed):
    """Write an image folder: train/CLASS and val/CLASS with JPEGs of noise around a colour of the class."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", images), ("val", 6)):
        for label in range(classes):
            folder = root / split / f"class-{label}"
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = rng.normal(40 + 170 * label / classes, 30, (40, 48, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{k}.jpg", quality=90)
    return root


@pytest.mark.nightly
@pytest.mark.slow
def test_the_imagenet_sweep_runs_scaled_down_on_image_folders(cluster, tmp_path, console):
    sweep = load_sweep(
        SWEEPS / "resnet_imagenet.yaml",
        overrides=[
            f"data.root={jpegs(tmp_path / 'pretrain', 4, 24, seed=0)}",
            f"grid.finetune.data.root={jpegs(tmp_path / 'finetune', 3, 16, seed=1)}",
            "data.image_size=32", "grid.finetune.data.image_size=32", "data.eval_examples=12",
            "grid.params=[20k]", "grid.data_fraction=[0.5, 1.0]", "grid.epochs=[1, 3]",
            "grid.finetune.examples=[24]", "grid.finetune.epochs=[2]",
            "train.batch_size=8", "resources={workers: 2}",
        ],
    )  # fmt: skip
    result = run_sweep(sweep, store=str(tmp_path / "store"), console=console)
    assert (result.rows, result.failed) == (4 * 5, 0)
    rows = open_store(str(tmp_path / "store")).results().to_pylist()
    tuned = [row for row in rows if row["finetune_examples"]]
    assert len(tuned) == 16
    assert {row["params_total"] for row in rows if not row["finetune_examples"]} != {
        row["params_total"] for row in tuned
    }
    assert all(0 <= row["f1_macro"] <= 1 and row.get("bits_per_byte") is None for row in rows)
    assert {row["compression"] for row in tuned} == {
        None, "quantize 8", "prune 0.5 structured + 1 epochs", "low_rank 0.5 + 1 epochs",
    }  # fmt: skip
