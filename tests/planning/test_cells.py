"""Grid → cells: identity (I1) and what is refused before anything starts."""

from __future__ import annotations

import pytest

from orchestrator.errors import BadInput
from orchestrator.planning import make_plan


def ids(plan):
    return {cell.id for cell in plan.cells}


def test_renaming_a_sweep_or_reordering_its_keys_changes_no_cell_id(sweep, simulated_yaml):
    head, grid = simulated_yaml.split("grid:")
    reordered = "grid:" + grid + "\n" + head.replace("name: simulated", "name: other\ndescription: words")
    assert ids(make_plan(sweep(simulated_yaml))) == ids(make_plan(sweep(reordered)))


@pytest.mark.parametrize(
    "override",
    [
        "train.batch_size=32",
        "train.learning_rate=0.01",
        "seed=7",
        "model.alpha=0.4",
        "data.examples=2M",
        "data.eval_examples=9",
    ],
)
def test_what_changes_a_result_changes_every_cell_id(sweep, override):
    assert not ids(make_plan(sweep())) & ids(make_plan(sweep(overrides=[override])))


def test_an_enlarged_grid_keeps_the_ids_of_its_cells(sweep):
    larger = make_plan(sweep(overrides=["grid.params=[1k, 3k, 10k, 30k]", "grid.seeds=2"]))
    assert ids(make_plan(sweep())) < ids(larger)


def test_the_same_examples_from_another_fraction_are_the_same_cells(sweep):
    half = sweep(overrides=["data.max_examples=500k", "grid.data_fraction=[0.2, 0.6]", "data.examples=1M"])
    assert ids(make_plan(half)) < ids(make_plan(sweep()))


def test_sizes_that_build_the_same_model_are_trained_once_and_said(sweep, transformer_yaml):
    plan = make_plan(sweep(transformer_yaml, overrides=["grid.params=[6300, 6310]"]))
    assert len(plan.cells) == 6
    assert plan.warnings == ["grid.params 6,310 and 6,300 are nearest to the same model (N = 6,304): trained once"]


def test_fractions_of_the_same_examples_are_trained_once_and_said(sweep, transformer_yaml):
    plan = make_plan(sweep(transformer_yaml, overrides=["grid.data_fraction=[0.5, 0.5001]"]))
    assert {cell.data_examples for cell in plan.cells} == {256}
    assert "trained once" in plan.warnings[-1]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("grid.data_fraction=[0.01]", "lower train.batch_size"),
        ("grid.data_fraction=[0.0001]", "leaves none"),
        ("data.max_examples=10M", "training examples; lower it"),
        ("grid.params=[1]", "params"),
        ("resources.world_size=3", "world_size 3 doesn.t divide train.batch_size 16"),
        ("grid.finetune={data: digits, examples: [10]}", "grid.finetune.data: a transformer .* can't read 'digits'"),
        ("grid.finetune={data: c-headers, examples: [1B]}", "grid.finetune.examples: has 1,000,000,000, but c-headers"),
        ("grid.finetune={data: c-headers, examples: [10]}", "10 examples for e = 1 don't fill a batch of 16"),
        ("grid.compression=[{method: prune, density: 1e-9}]", r"grid.compression\[0\]: density .* leaves no weight"),
        (
            "grid.compression=[{method: prune, pattern: '2:5'}]",
            "pattern 2:5: .* no multiple of 5",
        ),
        ("grid.compression=[{method: low_rank, rank_ratio: 0.99}]", "saves nothing"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_its_key(sweep, transformer_yaml, override, words):
    with pytest.raises(BadInput, match=words):
        make_plan(sweep(transformer_yaml, overrides=[override]))


def test_an_image_family_on_text_is_refused(sweep, transformer_yaml):
    with pytest.raises(BadInput, match="resnet"):
        make_plan(sweep(transformer_yaml.replace("family: transformer", "family: resnet")))
