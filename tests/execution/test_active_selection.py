"""``run --select active`` on a real Ray: a budget that holds, rows equal to the grid's, a selection that goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from orchestrator.analysis.sweep_status import progress_report
from orchestrator.errors import BadInput
from orchestrator.execution.active_selection import CellChooser
from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.store import open_store

CHILDREN = """\
name: chosen-children
data: {source: simulated, examples: 100k}
model: {family: simulated, C: 20, floor: 0, noise: 0.005}
grid:
  params: [1k, 3k, 10k]
  data_fraction: [0.1, 0.3, 1.0]
  finetune: {data: simulated, examples: [1k, 4k], epochs: [1, 2]}
  compression: [{method: quantize, bits: 8}, {method: prune, density: 0.5, recover: {steps: 4}}]
train: {batch_size: 64, warmup_steps: 0}
fit: {laws: [product], bootstrap: 50}
"""


def chooser(plan, fraction=0.3, rows=()):
    said: list[str] = []
    return CellChooser(plan, fraction, rows, said.append), said


def test_what_a_cell_costs_is_what_the_tree_has_to_train_for_it(sweep):
    plan = make_plan(sweep())
    choosing, said = chooser(plan)
    chosen = choosing.next_cells()
    assert choosing.spent_flops == sum(stage.flops for stage in plan.tree.towards(chosen))
    assert said[0] == "chosen by kaplan_floor:"  # by its prior, before there are rows
    assert [line.split()[0] for line in said[1:]] == [cell_id[:12] for cell_id in chosen]
    assert all("off the target's variance for" in line for line in said[1:])


def test_a_chosen_cell_brings_its_pretrained_model_and_its_compressed_variants(sweep):
    plan = make_plan(sweep(CHILDREN))
    cells = {cell.id: cell for cell in plan.cells}
    chosen = [cells[cell_id] for cell_id in chooser(plan, 1.0)[0].next_cells()]
    bases = [cell for cell in chosen if cell.kind == "fine-tuned"]
    assert len(bases) == 6
    assert {cell.id for cell in chosen if cell.kind == "pretrained"} == {cell.root.id for cell in bases}
    assert sorted(cell.parent.id for cell in chosen if cell.kind == "compressed") == sorted(2 * [c.id for c in bases])


@pytest.mark.parametrize(
    ("override", "fraction", "words"),
    [
        ("seed=0", 1e-6, r"`budget_fraction` 1e-06 of .* FLOPs pays for no cell; the cheapest takes"),
        ("grid.recipes=[{}, {batch_size: 32}]", 0.3, "leave grid.recipes out"),
    ],
)
def test_what_can_not_be_chosen_from_is_refused(sweep, override, fraction, words):
    with pytest.raises(BadInput, match=words):
        chooser(make_plan(sweep(overrides=[override])), fraction)


@pytest.mark.slow
def test_a_selection_keeps_to_its_budget_and_its_rows_are_the_grids(cluster, sweep, tmp_path):
    console = Console(file=io.StringIO(), width=200)
    plan = make_plan(sweep())
    result = run_sweep(sweep(), store=str(tmp_path / "few"), budget_fraction=0.3, console=console)
    assert 0 < result.rows < 27
    assert (result.failed, result.missing, result.not_chosen) == (0, 0, 27 - result.rows)
    assert result.flops_spent <= 0.3 * plan.flops_planned
    few = {row["cell_id"]: row["val_loss"] for row in open_store(str(tmp_path / "few")).results().to_pylist()}
    run_sweep(sweep(), store=str(tmp_path / "all"), console=console)
    everything = {row["cell_id"]: row["val_loss"] for row in open_store(str(tmp_path / "all")).results().to_pylist()}
    assert few.items() <= everything.items()
    assert result.flops_spent == sum(stage.flops for stage in plan.tree.towards(few))
    assert "selection ends: no other cell fits into the budget" in console.file.getvalue()
    [entry] = progress_report(str(tmp_path / "few"), None)["sweeps"]
    assert entry["state"] == f"done by selection: {result.not_chosen} cells not chosen"
    record = open_store(str(tmp_path / "few")).sweep("simulated")["selection"]
    assert [one["cell_id"] for one in record["chosen"]] == list(
        dict.fromkeys(one["cell_id"] for one in record["chosen"])
    )
    assert {one["cell_id"] for one in record["chosen"]} == few.keys()
    assert record["flops"] == result.flops_spent


@pytest.mark.nightly
@pytest.mark.slow
def test_a_selection_with_a_larger_budget_goes_on_and_pays_nothing_twice(cluster, sweep, tmp_path, console):
    store = str(tmp_path / "s")
    first = run_sweep(sweep(), store=store, budget_fraction=0.2, console=console)
    same = run_sweep(sweep(), store=store, budget_fraction=0.2, console=console)
    assert (same.rows, same.flops_spent) == (first.rows, 0)
    more = run_sweep(sweep(), store=store, budget_fraction=0.5, console=console)
    assert first.rows < more.rows < 27
    ids = open_store(store).results()["cell_id"].to_pylist()
    plan = make_plan(sweep())
    assert sum(stage.flops for stage in plan.tree.towards(ids)) <= 0.5 * plan.flops_planned
    rest = run_sweep(sweep(), store=store, console=console)
    assert (rest.rows, rest.missing, rest.not_chosen) == (27, 0, 0)
    assert progress_report(store, None)["sweeps"][0]["state"] == "done"


@pytest.mark.slow
def test_a_target_that_is_known_well_enough_ends_the_selection(cluster, sweep, tmp_path, console):
    wide = sweep(overrides=["fit.target_interval=0.5"])
    result = run_sweep(wide, store=str(tmp_path / "s"), budget_fraction=1.0, console=console)
    assert 0 < result.rows < 27
    assert "selection ends: the target's 90 % interval is" in console.file.getvalue()


@pytest.mark.nightly
@pytest.mark.slow
def test_a_selection_whose_cells_all_fail_comes_to_an_end(cluster, sweep, transformer_yaml, tmp_path, console):
    wild = sweep(transformer_yaml, overrides=["train.learning_rate=1e30", "train.gradient_clip=1e30"])
    result = run_sweep(wild, store=str(tmp_path / "s"), budget_fraction=1.0, console=console)
    assert result.rows == 0
    assert result.failed > 0
    assert result.failed + result.not_chosen == 6
