"""Cells → fine-tuned and compressed children: which there are, what they are called, and what they cost."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.errors import BadInput
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep

SIMULATED = """\
name: children
data: {source: simulated, examples: 1k}
model: {family: simulated}
grid:
  params: [1k, 3k]
  data_fraction: [0.5, 1.0]
  finetune: {data: simulated, examples: [64, 128], epochs: [1, 2]}
  compression: [{method: quantize, bits: 8}, {method: prune, density: 0.5}]
train: {batch_size: 16, warmup_steps: 0}
"""
EIGHT = """
    - {method: quantize, bits: 8}
    - {method: quantize, bits: 4}
    - {method: quantize, bits: 3}
    - {method: quantize, bits: 2}
    - {method: prune, density: 0.5}
    - {method: prune, density: 0.2}
    - {method: low_rank, rank_ratio: 0.5}
    - {method: low_rank, rank_ratio: 0.25}
"""


def plan_of(*overrides, share=True, text=SIMULATED):
    return make_plan(parse_sweep(text, overrides=list(overrides)), share=share)


def test_every_pretrained_cell_has_its_fine_tuned_ones_and_these_their_variants():
    plan = plan_of()
    kinds = Counter((cell.tuning is not None, cell.compressed is not None) for cell in plan.cells)
    assert kinds == {(False, False): 4, (True, False): 16, (True, True): 32}
    assert len({cell.id for cell in plan.cells}) == plan.sweep.grid.cells == 52
    assert {cell.data for cell in plan.cells if cell.parent is not None} == {"finetune"}


def test_without_fine_tuning_the_pretrained_cells_are_compressed():
    plan = plan_of("grid.finetune=null")
    assert [cell.compressed.method if cell.compressed else None for cell in plan.cells[:3]] == [
        None, "quantize", "prune",
    ]  # fmt: skip
    assert all(cell.parent is cell.root for cell in plan.cells if cell.compressed)


def test_children_change_no_id_of_their_parents_and_no_other_childs():
    whole, bare = plan_of(), plan_of("grid.finetune=null", "grid.compression=[{method: quantize, bits: 4}]")
    first = {cell.id for cell in bare.cells if cell.compressed is None}
    assert first == {cell.id for cell in whole.cells if cell.parent is None}
    fewer = plan_of("grid.compression=[{method: prune, density: 0.5}]", "grid.finetune.epochs=[2]")
    assert {cell.id for cell in fewer.cells} < {cell.id for cell in whole.cells}


@pytest.mark.parametrize(
    "override",
    [
        "grid.finetune.learning_rate=0.5",
        "grid.finetune.batch_size=8",
        "grid.finetune.warmup_steps=1",
        "grid.finetune.freeze=body",
        "grid.finetune.head=keep",
        "grid.finetune.data={source: simulated, examples: 2k}",
    ],
)
def test_what_changes_fine_tuning_changes_the_ids_below_and_none_above(override):
    before, after = plan_of(), plan_of(override)
    assert {c.id for c in before.cells if c.parent is None} == {c.id for c in after.cells if c.parent is None}
    assert {c.id for c in before.cells if c.parent}.isdisjoint(c.id for c in after.cells if c.parent)


def test_variants_that_train_nothing_cost_nothing_beside_their_parent():
    plan = plan_of("grid.finetune=null", f"grid.compression={EIGHT}")
    bare = plan_of("grid.finetune=null", "grid.compression=[{method: quantize, bits: 8}]")
    assert plan.flops_planned == bare.flops_planned
    assert plan.flops_naive / plan.flops_planned >= 6
    assert sum(stage.flops for stage in plan_of("grid.finetune=null", share=False).tree) == sum(
        cell.flops for cell in plan_of("grid.finetune=null").cells
    )


def test_every_cell_alone_costs_what_it_says():
    plan = plan_of("grid.compression=[{method: prune, density: 0.5, recover: {epochs: 1}}]", share=False)
    assert sum(stage.flops for stage in plan.tree) == plan.flops_naive
    assert sum(stage.steps for stage in plan.tree) == sum(cell.steps for cell in plan.cells)


def test_fine_tuning_epochs_share_a_trunk():
    text = SIMULATED.replace("[64, 128]", "[128]").replace("[1, 2]}", "[1, 2, 4]}")
    plan = plan_of("grid.params=1k", "grid.data_fraction=1", text=text)
    tuned = [stage for stage in plan.tree if stage.kind == "finetune"]
    assert sum(stage.steps for stage in tuned) < 8 + 16 + 32
    (root,) = {stage.parent for stage in tuned if stage.start_step == 0}
    assert plan.tree.stages[root].kind == "cooldown"
    assert {stage.start_step == 0 and stage.phase for stage in tuned if stage.parent == root} == {tuned[0].phase}


def test_equal_beginnings_of_chains_are_done_once():
    pruned = "{method: prune, density: 0.5, recover: {steps: 5}}"
    chain = f"{{method: chain, steps: [{pruned}, {{method: quantize, bits: 4}}]}}"
    plan = plan_of("grid.finetune=null", f"grid.compression=[{pruned}, {chain}]")
    compressed = [stage for stage in plan.tree if stage.kind == "compress"]
    assert len(compressed) == 2 * 4
    assert sum(stage.steps for stage in compressed) == 5 * 4


def test_a_schedule_that_shares_nothing_still_trains_a_parent_once_for_its_children():
    plan = plan_of("train.schedule=cosine", f"grid.compression={EIGHT}", "grid.finetune=null")
    assert sum(stage.steps for stage in plan.tree) == sum(cell.steps for cell in plan.cells if cell.parent is None)


def test_the_recovery_of_a_chain_follows_its_last_step():
    steps = "[{method: low_rank, rank_ratio: 0.3}, {method: prune, density: 0.5}]"
    chain = f"{{method: chain, recover: {{steps: 7}}, steps: {steps}}}"
    plan = plan_of("grid.finetune=null", f"grid.compression=[{chain}]")
    cell = next(cell for cell in plan.cells if cell.compressed)
    assert [step.training_steps for step in cell.compressed.steps] == [0, 7]
    assert cell.compressed.level is None


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("grid.finetune.examples=[2M]", "grid.finetune.examples: has 2,000,000, but simulated has 1,000,000"),
        ("grid.finetune.examples=[4]", "grid.finetune.batch_size"),
        ("grid.compression=[{method: distill, student_params: 1k}]", "no smaller than its teacher's 1,000"),
    ],
)
def test_children_that_can_not_be_are_refused_with_their_key(override, words):
    with pytest.raises(BadInput, match=words):
        plan_of(override)


def test_every_compression_that_can_not_be_is_named_at_once():
    kinds = (
        "[{method: distill, student_params: 1k}, {method: quantize, bits: 4}, {method: distill, student_params: 2k}]"
    )
    with pytest.raises(BadInput) as refusal:
        plan_of(f"grid.compression={kinds}")
    first, second = str(refusal.value).splitlines()
    assert "grid.compression[0].student_params: " in first
    assert "grid.compression[2].student_params: " in second
