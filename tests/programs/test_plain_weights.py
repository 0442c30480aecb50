"""Programs that keep plain weights: their means and compressed variants are made here, and scored by them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from orchestrator.errors import BadInput
from orchestrator.execution.export import export
from orchestrator.execution.program_trial import check_program
from orchestrator.planning import make_plan
from orchestrator.programs.program import read_program
from orchestrator.spec import parse_sweep
from orchestrator.store.checkpoints import DamagedCheckpoint
from orchestrator.store.sql import query
from workers.programs.rates import rate_knots
from workers.programs.state import ProgramState, from_bytes, to_bytes
from workers.programs.trial import Trials

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
{compression}
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
def starts(tmp_path):
    """What each process was to do, in order."""
    return lambda: (tmp_path / "outside" / "starts").read_text().splitlines()


@pytest.fixture
def clouds(tmp_path):
    """The sweep's text."""
    (tmp_path / "outside").mkdir()

    def text(schedule="wsd", compression=WAYS, **options):
        told = json.dumps({"outside": str(tmp_path / "outside"), **options})
        ways = f"  compression: {compression}" if compression else ""
        return SWEEP.format(options=told, schedule=schedule, compression=ways)

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
    paths = query(shared.store, "SELECT cell_id, max(step) AS steps FROM curves GROUP BY cell_id")
    assert sorted(each["steps"] for each in paths) == [25, 25, 50, 50, 50, 50, 100, 100]


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


@pytest.mark.parametrize(
    ("schedule", "compression", "change", "said"),
    [
        ("wsm", None, ("weights = ", "# "), r":10: train.schedule: wsm averages weights, and those of plain are its "),
        ("wsd", WAYS, ("weights = ", "# "), r":9: grid.compression: the weights of plain are its own, so they aren't "),
        ("wsd", "[{method: prune, density: 0.5, recover: {steps: 9}}]", None, r":9: grid.compression\[0\].recover: "),
        ("wsd", "[{method: distill, student_params: 600}]", None, r":9: grid.compression\[0\]: distill makes another "),
        ("wsd", "[{method: prune, pattern: structured, density: 0.5}]", None, r"compression\[0\]: prune makes "),
        ("wsd", "[{method: quantize, bits: 8, activations: int8}]", None, r"compression\[0\].activations: what plain "),
        ("wsd", "[{method: low_rank, rank_ratio: 0.99}]", None, r":9: grid.compression\[0\]: rank_ratio 0.99 "),
    ],
)  # fmt: skip
def test_what_a_program_cannot_is_refused_at_its_line_before_it_is_started(
    clouds, plain, schedule, compression, change, said
):
    if change is not None:
        manifest = Path(plain.folder, "program.toml")
        manifest.write_text(manifest.read_text().replace(*change))
        plain = read_program(manifest)
    with pytest.raises(BadInput, match=said):
        make_plan(parse_sweep(clouds(schedule, compression)), program=plain)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("describes none", r"grid.compression: plain describes no weights that may be compressed; add \"weights\""),
        ("nests", r"plain describes itself wrongly: models\[0\].weights: 'down.more' is no name of a layer of its own"),
    ],
)
def test_a_description_of_weights_that_can_be_none_is_refused(clouds, plain, bad, said):
    with pytest.raises(BadInput, match=said):
        make_plan(parse_sweep(clouds(bad=bad)), program=plain)


def test_a_merged_cell_has_the_loss_of_the_mean_of_the_snapshots_of_its_window(lead, clouds, plain):
    run = lead(clouds("wsm", None), program=plain, overrides=["grid.data_fraction=[0.5]", "grid.epochs=[1]"])
    (row,) = run.store.results().to_pylist()
    cell = run.plan.cells[0]
    steps = list(cell.recipe.snapshot_steps(cell.total_steps))
    assert len(steps) > 5
    trials = Trials(
        plain, run.plan.context.model_options["options"], cell.shape, run.plan.context.manifest, cell.recipe, seed=3
    )
    with trials:
        knots = rate_knots(cell.recipe, cell.total_steps, cell.total_steps)
        _, states = trials.run(0, cell.total_steps, knots=knots, stream=200, saves=steps)
        snapshots = [load((states / str(step) / "model.safetensors").read_bytes()) for step in steps]
        mean = {name: np.mean([s[name] for s in snapshots], axis=0, dtype=np.float64) for name in snapshots[0]}
        data = save({name: value.astype(np.float32) for name, value in mean.items()})
        outcome, _ = trials.score(states / str(cell.total_steps), data, 80)
    assert row["val_loss"] == pytest.approx(outcome.scores["val_loss"], rel=1e-6)
    assert row["accuracy"] == outcome.scores["accuracy"]


def test_a_merge_whose_process_is_killed_on_the_way_is_what_it_is_undisturbed(lead, clouds, plain, starts):
    few = ["grid.data_fraction=[0.5]"]
    undisturbed = lead(clouds("wsm"), "undisturbed", program=plain, overrides=few)
    often = [*few, "resources.checkpoint_interval_s=0.01"]
    disturbed = lead(clouds("wsm", bad="killed once"), "disturbed", program=plain, overrides=often)
    # the options are part of a packed model, and say here who is killed
    found, wanted = (sorted(each[:2] for each in figures(run).values()) for run in (disturbed, undisturbed))
    assert found == wanted
    assert sum(disturbed.policy.counts.values()) == 1
    begun = [int(each.split()[1].split("-")[0]) for each in starts() if each.startswith("train")]
    assert any(15 < step <= 21 for step in begun), begun  # inside the window, from the state that was kept there


def test_an_exported_cell_has_the_weights_that_were_scored(lead, clouds, plain, tmp_path):
    few = ["grid.data_fraction=[0.5]", "grid.epochs=[1]"]
    run = lead(clouds("wsm", "[{method: quantize, bits: 2}]"), program=plain, overrides=few)
    run.store.save_sweep("clouds", {"sweep": run.plan.sweep.canonical(), "cells": [c.id for c in run.plan.cells]})
    cell = next(cell for cell in run.plan.cells if cell.compressed)
    found = export(run.store.uri, cell.id, str(tmp_path / "model"), lambda sentence: None, (), plain)
    assert found["val_loss"] == found["val_loss_of_row"]
    weights = load((tmp_path / "model" / "state" / "model.safetensors").read_bytes())
    assert {len(set(row)) for row in weights["up.weight"].tolist()} <= {2, 3}
    assert len(set(weights["bias"].tolist())) > 50


def test_what_we_made_of_a_state_goes_through_a_checkpoint_as_it_is():
    file = np.arange(300, dtype=np.uint8)
    sums = {50: {"up.weight": np.arange(6.0).reshape(2, 3), "steps": np.array(3)}, 100: {"up.weight": np.ones((2, 3))}}
    state = ProgramState(
        7, (("a/model", file), ("state", file[:0])), 1.5, sums=sums, averaged=file[:9], before={"val_loss": 2.0},
        model={"up.weight": np.ones((2, 2), np.float32)}, facts=({"method": "quantize", "bits": 4},),
    )  # fmt: skip
    back = from_bytes(to_bytes(state))
    assert to_bytes(back) == to_bytes(state)
    assert back.facts == state.facts
    assert back.before == {"val_loss": 2.0}
    assert [name for name, _ in back.files] == ["a/model", "state"]
    assert back.sums[50]["up.weight"].tolist() == sums[50]["up.weight"].tolist()
    assert sorted(back.sums) == [50, 100]
    assert back.averaged.tolist() == list(range(9))
    assert back.nbytes == state.nbytes == 300 + 9 + 48 + 8 + 48 + 16
    damaged = bytearray(to_bytes(state))
    damaged[-1] ^= 1
    with pytest.raises(DamagedCheckpoint):
        from_bytes(bytes(damaged))


QUESTIONS = [{"question": f"{k} + 1 = ", "choices": [str(k + 1), str(k), "x"], "answer": 0} for k in range(9)]


@pytest.fixture
def asked(tmp_path, plain):
    """The overrides that ask a task, of a program that says it scores such."""
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS))
    manifest = Path(plain.folder, "program.toml")
    manifest.write_text(manifest.read_text() + 'evaluates = ["multiple_choice"]\n')
    return [
        f"evaluate=[{{name: sums, kind: multiple_choice, path: {tmp_path / 'sums.jsonl'}}}]",
        "grid.data_fraction=[0.5]",
    ]


def test_a_program_scores_tasks_of_means_and_of_compressed_variants_and_alone_it_says_the_same(
    lead, clouds, plain, asked
):
    program, text = read_program(plain.folder), clouds("wsm", "[{method: quantize, bits: 2}]")
    shared = lead(text, "shared", program=program, overrides=asked)
    alone = lead(text, "alone", program=program, overrides=asked, share=False)
    assert len(figures(shared)) == 4
    found, wanted = (
        {row["cell_id"]: json.loads(row["metrics"]) for row in run.store.results().to_pylist()}
        for run in (shared, alone)
    )
    assert found == wanted
    assert len({scores["sums.norm"] for scores in found.values()}) == 4
    records = query(shared.store, "SELECT name, count(*) AS n FROM task_scores WHERE metric = 'accuracy' GROUP BY name")
    assert records == [{"name": "sums", "n": 4}]


def test_a_program_that_keeps_no_plain_weights_scores_tasks_as_well(lead, clouds, plain, asked):
    manifest = Path(plain.folder, "program.toml")
    manifest.write_text(manifest.read_text().replace("weights = ", "# "))
    run = lead(clouds(compression=None), program=read_program(manifest), overrides=[*asked, "grid.epochs=[1]"])
    (row,) = run.store.results().to_pylist()
    assert json.loads(row["metrics"])["sums.norm"] > 0
    assert row["model_bytes"] is None


@pytest.mark.parametrize(
    ("bad", "said"),
    [("no scores", "scores hold nothing of the task sums"), ("no score", "sums: 'accuracy' is null, no metric")],
)
def test_an_answer_without_the_score_of_a_task_fails_the_cell(lead, clouds, plain, asked, bad, said):
    few = [*asked, "grid.epochs=[1]"]
    run = lead(clouds(compression=None, bad=bad), program=read_program(plain.folder), overrides=few)
    (row,) = run.store.results().to_pylist()
    assert row["status"] == "failed"
    assert said in row["error"]


def test_tasks_that_a_program_does_not_score_are_refused_at_their_line(clouds, plain, asked):
    with pytest.raises(BadInput, match=r"evaluate\[0\].kind: plain doesn't say that it scores multiple_choice: add it"):
        make_plan(parse_sweep(clouds(), overrides=asked), program=plain)
    made = ["evaluate=[{name: sums, kind: multiple_choice}]"]
    with pytest.raises(BadInput, match=r"evaluate\[0\]: the text that plain reads is its own, so no questions can"):
        make_plan(parse_sweep(clouds(), overrides=made), program=read_program(plain.folder))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("lacks a weight", "model.safetensors holds 1,200 numbers, and the model has 1,300 parameters"),
        ("no file", "holds no model.safetensors, which program.toml names as its weights"),
        ("other shape", "up.weight has the shape [8, 100] and was described as [100, 8]"),
    ],
)
def test_a_size_whose_weights_are_others_than_described_has_no_row_but_a_failure(lead, clouds, plain, bad, said):
    few = ["grid.data_fraction=[0.5]", "grid.epochs=[1]"]
    run = lead(clouds("wsd", None, bad=bad), program=plain, overrides=few)
    (row,) = run.store.results().to_pylist()
    assert row["status"] == "failed"
    assert said in row["error"]
    assert row["val_loss"] is None


LIARS = {
    "ignores the weights": "other weights have the same score: the file that a score names has no effect",
    "takes a part of the weights": "val_loss is .* and not ",
    "scores otherwise": "val_loss is .* and not ",
    "writes to the weights": "a score has changed the weights or the state that it was given",
    "lacks a weight": r"model.safetensors holds 1,200 numbers, and the model has 1,300 parameters",
    "other shape": r"up.weight has the shape \[8, 100\] and was described as \[100, 8\]",
    "other name": r"holds no up.weight, which was described",
    "half": r"up.weight is float16; what may be compressed must be float32",
    "no file": r"the state 2 holds no model.safetensors",
    "no safetensors": r"model.safetensors is no safetensors file",
}
#: Those that are tried at every change.
FEW = ("ignores the weights", "writes to the weights", "half")


def test_a_program_whose_weights_are_what_it_says_passes(clouds, plain):
    verdict = check_program(plain, sweep=parse_sweep(clouds()))
    assert verdict.broken == []
    assert len(verdict.promises) == 15


@pytest.mark.parametrize("bad", [pytest.param(b, marks=() if b in FEW else pytest.mark.nightly) for b in LIARS])
def test_a_program_that_scores_other_weights_or_keeps_others_is_not_swept(clouds, plain, bad):
    verdict = check_program(plain, sweep=parse_sweep(clouds(bad=bad)))
    assert verdict.level is None
    assert re.search(LIARS[bad], verdict.broken[-1].broken), verdict.broken[-1]
    assert verdict.broken[-1].broken.endswith("; mend it, or take weights out of program.toml")
