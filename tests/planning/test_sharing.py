"""Cells → stage tree: shared once, complete, and never changing what a cell is trained on (I3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.planning.cell import Cell
from orchestrator.planning.family import ModelShape
from orchestrator.planning.recipe import Recipe
from orchestrator.planning.sharing import build_tree
from workers.sources.order import Order

TOTAL = 400
SHAPE = ModelShape(
    family="transformer", dims=(("width", 8),), params_total=10, params_non_embedding=8, forward_flops=1, train_flops=3
)
RECIPE = Recipe(
    optimizer="adamw", learning_rate=0.1, weight_decay=0.0, momentum=0.9, beta1=0.9, beta2=0.95, gradient_clip=None,
    batch_size=16, warmup_steps=3, schedule="wsd", cooldown_fraction=0.2, milestones=(0.5,), decay_factor=0.1,
    shift_pixels=0,
)  # fmt: skip
settings.register_profile("ours", deadline=None, max_examples=40)
settings.load_profile("ours")
grids = st.tuples(
    st.sets(st.integers(20, TOTAL), min_size=1, max_size=4), st.sets(st.integers(1, 5), min_size=1, max_size=3)
)
recipes = st.builds(
    lambda batch, warmup, fraction, schedule: replace(
        RECIPE, batch_size=batch, warmup_steps=warmup, cooldown_fraction=fraction, schedule=schedule
    ),
    st.integers(1, 20),
    st.integers(0, 30),
    st.floats(0.05, 0.9),
    st.sampled_from(["wsd", "wsm", "constant", "cosine", "step"]),
)  # fmt: skip


def cells_of(grid, recipe):
    return [
        Cell(id=f"{d}-{e}-{seed}", shape=SHAPE, data_examples=d, data_fraction=d / TOTAL, epochs=e, seed=seed,
             total_steps=recipe.total_steps(d, e), recipe=recipe, common=str(recipe))
        for d in grid[0] for e in grid[1] for seed in (0, 1)
    ]  # fmt: skip


def tree_of(cells, *, share=True):
    return build_tree(cells, train_examples=lambda _: TOTAL, eval_examples=lambda _: 5, share=share)


def steps_of(tree, cell, recipe):
    """What a cell sees, step by step: the examples and the learning rate."""
    order = Order(TOTAL, cell.seed)
    path, stage = [], next(s for s in tree if s.cell is cell)
    while stage is not None:
        path.append(stage)
        stage = tree.stages[stage.parent] if stage.parent else None
    batch, seen = recipe.batch_size, []
    for stage in reversed(path):
        assert stage.start_step == len(seen) or not stage.steps
        seen += [
            (
                tuple(order.indices(stage.stream_examples, k * batch, (k + 1) * batch)),
                recipe.rate_factor(k, stage.total_steps),
            )
            for k in range(stage.start_step, stage.stop_step)
        ]
    return seen


@given(grids, recipes)
def test_every_cell_sees_the_same_examples_and_rates_as_when_trained_alone(grid, recipe):
    cells = cells_of(grid, recipe)
    shared, alone = tree_of(cells), tree_of(cells, share=False)
    for cell in cells:
        seen = steps_of(shared, cell, recipe)
        assert seen == steps_of(alone, cell, recipe)
        assert len(seen) == cell.total_steps


@given(grids, recipes)
def test_a_shared_tree_never_costs_more_and_measures_each_cell_once(grid, recipe):
    cells = cells_of(grid, recipe)
    shared, alone = tree_of(cells), tree_of(cells, share=False)
    assert sorted(c.id for c in shared.cells()) == sorted(c.id for c in cells)
    assert sum(s.flops for s in shared) <= sum(s.flops for s in alone)
    assert sum(s.steps for s in alone) == sum(c.total_steps for c in cells)


@given(grids, recipes)
def test_parents_stand_before_their_children_and_meet_them(grid, recipe):
    tree = tree_of(cells_of(grid, recipe))
    seen = set()
    for stage in tree:
        assert stage.parent is None or stage.parent in seen
        assert stage.start_step == (tree.stages[stage.parent].stop_step if stage.parent else 0)
        seen.add(stage.id)


@given(grids, recipes)
def test_every_window_stays_open_from_its_first_snapshot_to_its_merge(grid, recipe):
    recipe = replace(recipe, schedule="wsm")
    cells = cells_of(grid, recipe)
    tree = tree_of(cells)
    for cell in cells:
        first, *_, last = (*recipe.snapshot_steps(cell.total_steps), cell.total_steps)
        assert 0 < first <= last == cell.total_steps
        merge = tree.stages[next(s for s in tree if s.cell is cell).parent]
        stage = tree.stages[merge.parent]
        assert merge.kind == "merge"
        while stage is not None:
            assert (cell.total_steps in stage.windows) == (stage.stop_step >= first)
            stage = tree.stages[stage.parent] if stage.parent else None


@pytest.mark.parametrize(
    ("schedule", "epochs", "ratio"),
    [("wsd", 4, 1.69), ("wsd", 8, 2.74), ("wsd", 16, 3.44), ("wsm", 4, 1.98), ("wsm", 8, 4.78), ("wsm", 16, 8.76)],
)
def test_sharing_saves_the_steps_of_the_prototype(schedule, epochs, ratio):
    recipe = replace(RECIPE, warmup_steps=30, schedule=schedule)
    every = (1, 2, 4) if epochs == 4 else range(1, epochs + 1)
    cells = [
        Cell(id=f"{d}-{e}", shape=SHAPE, data_examples=d, data_fraction=1, epochs=e, seed=0, total_steps=d * e // 16,
             recipe=recipe, common="x")
        for d in (1024, 2048, 4096, 8192) for e in every
    ]  # fmt: skip
    tree = build_tree(cells, train_examples=lambda _: 160_000, eval_examples=lambda _: 1)
    assert sum(c.total_steps for c in cells) / sum(s.steps for s in tree) == pytest.approx(ratio, abs=0.01)


def test_the_quickstart_grid_needs_the_steps_of_the_prototype():
    recipe = replace(RECIPE, warmup_steps=30)
    cells = [
        Cell(id=f"{d}-{e}", shape=SHAPE, data_examples=d, data_fraction=1, epochs=e, seed=0, total_steps=d * e // 16,
             recipe=recipe, common="x")
        for d in (1024, 2048, 4096, 8192) for e in (1, 2, 4)
    ]  # fmt: skip
    tree = build_tree(cells, train_examples=lambda _: 160_000, eval_examples=lambda _: 1)
    assert sum(c.total_steps for c in cells) == 6720
    assert sum(s.steps for s in tree) == pytest.approx(3968, abs=12)


def test_recipes_that_depend_on_the_length_share_nothing():
    recipe = replace(RECIPE, schedule="cosine")
    cells = cells_of(({100, 400}, {1, 2}), recipe)
    assert {s.kind for s in tree_of(cells)} == {"trunk", "evaluate"}
    assert sum(s.steps for s in tree_of(cells)) == sum(c.total_steps for c in cells)


def test_recipes_side_by_side_share_within_each_and_never_across():
    cosine, small = replace(RECIPE, schedule="cosine"), replace(RECIPE, batch_size=8)
    parts = [[replace(c, id=f"{k}-{c.id}") for c in cells_of(({100, 400}, {1, 2}), recipe)]
             for k, recipe in enumerate((RECIPE, cosine, small))]  # fmt: skip
    together = tree_of([cell for part in parts for cell in part])
    alone = [tree_of(part) for part in parts]
    assert {s.id for s in together} == {s.id for tree in alone for s in tree}
    assert len(together) == sum(map(len, alone))


def test_first_passes_have_the_same_stage_ids_in_a_larger_grid():
    small = tree_of(cells_of(({100}, {1}), RECIPE))
    large = tree_of(cells_of(({100, 400}, {1}), RECIPE))
    assert {s.id for s in small} <= {s.id for s in large}


def test_a_chain_runs_to_the_next_fork():
    tree = tree_of(cells_of(({100}, {1, 2}), RECIPE))
    kinds = [[s.kind for s in tree.chain(root)] for root in tree.children[None]]
    assert kinds == [["trunk"], ["trunk"]]
    alone = tree_of(cells_of(({100}, {1}), RECIPE), share=False)
    assert [[s.kind for s in alone.chain(root)] for root in alone.children[None]] == [
        ["trunk", "cooldown", "evaluate"]
    ] * 2


def test_a_stage_whose_parent_is_missing_is_refused():
    tree = tree_of(cells_of(({100}, {1}), RECIPE))
    with pytest.raises(KeyError, match="nowhere"):
        tree.add(replace(next(iter(tree)), id="new", parent="nowhere"))
