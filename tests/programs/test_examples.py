"""The example folders are complete, differ little from ordinary trainers, and share to the bit."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.execution.program_trial import check_program
from orchestrator.programs.manifest import Sharing
from orchestrator.programs.program import read_program
from orchestrator.spec import load_sweep
from tests.programs.test_shared_is_alone import losses

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("nanogpt", "hf_trainer", "torchrun")
SMALL = ["grid.params=[25k]", "data.max_examples=128", "data.eval_examples=16", "grid.data_fraction=[0.5, 1.0]"]


def prepared(name, folder):
    """Return a copy of an example, with its data prepared as its README says."""
    shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("data"))
    if (folder / name / "prepare.py").exists():
        subprocess.run([sys.executable, "prepare.py"], cwd=folder / name, check=True, capture_output=True)
    return folder / name


@pytest.fixture
def nanogpt(tmp_path):
    """A nanoGPT-like trainer."""
    return prepared("nanogpt", tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_trainer_becomes_a_program_by_at_most_25_lines(name):
    texts = [(EXAMPLES / name / file).read_text().splitlines() for file in ("ordinary_train.py", "train.py")]
    changed = [line for line in difflib.ndiff(*texts) if line.startswith("+ ")]
    assert 0 < len(changed) <= 25


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_of_a_readme_name_what_is_there(name):
    page = (EXAMPLES / name / "README.md").read_text()
    commands = page.partition("```sh\n")[2].partition("```")[0]
    files = {word for word in commands.split() if word.endswith((".py", ".yaml", ".toml"))}
    assert {"sweep.yaml", "program.toml"} <= files
    assert [file for file in files if not (EXAMPLES / name / file).exists()] == []
    assert read_program(EXAMPLES / name / "program.toml").level is Sharing.EXACT
    assert load_sweep(EXAMPLES / name / "sweep.yaml").model.family == "program"


@pytest.mark.slow
def test_cells_of_a_nanogpt_like_trainer_share_and_are_equal_to_those_alone(nanogpt, lead, rows):
    program, text = read_program(nanogpt), (nanogpt / "sweep.yaml").read_text()
    few = [*SMALL, "grid.epochs=[2]"]
    shared = lead(text, "shared", program=program, overrides=few)
    alone = lead(text, "alone", program=program, overrides=few, share=False)
    assert len(losses(shared, rows)) == 2
    assert losses(shared, rows) == losses(alone, rows)
    assert shared.plan.to_json()["steps_planned"] < alone.plan.to_json()["steps_planned"]
    assert all(4.0 < row["val_loss"] < 5.6 for row in rows(shared).values())


@pytest.mark.slow
def test_the_weights_of_a_nanogpt_like_trainer_are_averaged_and_compressed(nanogpt, lead):
    text = (nanogpt / "compressed.yaml").read_text()
    few = [*SMALL, "grid.data_fraction=[1.0]", "grid.epochs=[1]"]
    rows = lead(text, program=read_program(nanogpt), overrides=few).store.results().to_pylist()
    assert [row["error"] for row in rows] == [None] * 5
    bits = {(row["compression_method"], row["compression_level"]): row["bits_per_param"] for row in rows}
    assert bits[None, None] == 32.0
    assert bits["quantize", 4.0] < bits["quantize", 8.0] < bits["prune", 0.5] < bits["low_rank", 0.5] < 32
    assert len({row["val_loss"] for row in rows}) == 5
    assert all(4.0 < row["val_loss"] < 5.6 for row in rows)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_keeps_what_its_manifest_promises(name, tmp_path):
    if name == "hf_trainer":
        pytest.importorskip("transformers")
    folder = prepared(name, tmp_path)
    verdict = check_program(read_program(folder), sweep=load_sweep(folder / "sweep.yaml"))
    assert verdict.broken == []


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ranks_of_a_program_train_a_cell_together_on_ray_and_share_to_the_bit(tmp_path):
    from orchestrator.execution.run import run_sweep
    from orchestrator.store import open_store

    folder = EXAMPLES / "torchrun"
    few = ["grid.params=[1k]", "data.max_examples=1024", "grid.epochs=[2]"]
    found = []
    for share in (True, False):
        store = str(tmp_path / f"share-{share}")
        sweep = load_sweep(folder / "sweep.yaml", overrides=few)
        result = run_sweep(sweep, store=store, share=share, program=read_program(folder), dashboard=False)
        assert (result.rows, result.failed) == (2, 0)
        table = open_store(store).results()
        assert table["world_size"].to_pylist() == [2, 2]
        found.append(dict(zip(table["cell_id"].to_pylist(), table["val_loss"].to_pylist(), strict=True)))
    assert found[0] == found[1]
