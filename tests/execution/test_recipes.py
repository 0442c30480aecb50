"""A sweep of several recipes: each trained as it would be by itself, and fitted one at a time."""

from __future__ import annotations

import pytest

from orchestrator.analysis.inputs import gather
from orchestrator.errors import BadInput
from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store

from .local import LocalRun, new_store

MIXED = """\
name: mixed
seed: 2
data: {source: digits, max_examples: 64, eval_examples: 32}
model: {family: resnet}
grid: {params: [1.4k], data_fraction: [0.5, 1.0], epochs: [1, 2], recipes: RECIPES}
train: {optimizer: sgd, batch_size: 8, warmup_steps: 2, learning_rate: 0.05}
fit: {bootstrap: 0, laws: [product]}
"""
RECIPES = ("{}", "{schedule: cosine}", "{batch_size: 16}", "{schedule: wsm, optimizer: adamw, learning_rate: 0.01}")


def sweep(*recipes):
    return parse_sweep(MIXED.replace("RECIPES", f"[{', '.join(recipes)}]"))


def test_what_shares_and_what_does_not_is_said_by_the_plan():
    plan = make_plan(sweep(*RECIPES))
    assert len(plan.cells) == 16
    assert plan.why_alone == (
        "under schedule cosine the rate depends on a cell's length from its first steps; "
        "cells of the 4 recipes share nothing with each other"
    )
    alone = make_plan(sweep("{schedule: cosine}"))
    assert alone.flops_planned == alone.flops_naive
    assert plan.flops_planned == sum(make_plan(sweep(recipe)).flops_planned for recipe in RECIPES)


def test_a_recipe_of_the_grid_gives_the_cells_of_that_recipe_written_under_train():
    (changed,) = {cell.common for cell in make_plan(sweep("{schedule: cosine}")).cells}
    text = MIXED.replace(", recipes: RECIPES", "").replace("batch_size: 8", "batch_size: 8, schedule: cosine")
    assert {cell.common for cell in make_plan(parse_sweep(text)).cells} == {changed}


def test_equal_recipes_are_trained_once():
    plan = make_plan(sweep("{}", "{batch_size: 8}"))
    assert len(plan.cells) == 4
    assert any("come to the same" in warning for warning in plan.warnings)


def test_a_wrong_key_of_a_recipe_is_refused_with_its_place():
    with pytest.raises(BadInput, match=r"grid.recipes\[1\].schedul") as refused:
        sweep("{}", "{schedul: cosine}")
    assert "schedule" in str(refused.value)


@pytest.mark.slow
def test_a_sweep_that_mixes_recipes_has_the_rows_of_each_alone_and_fits_the_first(cluster, tmp_path, console):
    mixed = run_sweep(sweep(*RECIPES), store=str(tmp_path / "mixed"), console=console)
    assert (mixed.rows, mixed.failed, mixed.missing) == (16, 0, 0)
    assert mixed.report.fits["product"].n_rows == 4
    names = list(open_store(str(tmp_path / "mixed")).sweeps()["mixed"]["recipes"])
    assert [name.rsplit("-", 1)[0] for name in names] == ["sgd-wsd", "sgd-cosine", "sgd-wsd", "adamw-wsm"]
    assert names[0] in mixed.answer.warnings[0]
    assert all(name in mixed.answer.warnings[0] for name in names[1:])
    losses = {row["cell_id"]: row["val_loss"] for row in open_store(str(tmp_path / "mixed")).results().to_pylist()}
    for k, recipe in enumerate(RECIPES[1:]):
        alone = new_store(tmp_path / str(k))
        LocalRun(MIXED.replace("RECIPES", f"[{recipe}]"), alone).run()
        assert len(alone.done()) == 4
        for row in alone.results().to_pylist():
            assert losses[row["cell_id"]] == row["val_loss"]
    chosen = gather(str(tmp_path / "mixed"), recipe=names[1])
    assert chosen.axes.num_rows == 4
    assert chosen.notes == ()
    assert gather(str(tmp_path / "mixed"), recipe=names[1][-6:]).axes == chosen.axes
    with pytest.raises(BadInput, match="no finished row has the recipe 'nothing'; recipes there: adamw-wsm-"):
        gather(str(tmp_path / "mixed"), recipe="nothing")
