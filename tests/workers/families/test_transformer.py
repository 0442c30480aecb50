from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.planning.manifest import DataManifest
from workers.families.transformer.plan import Transformer
from workers.families.transformer.train import BASE_WIDTH, TrainedTransformer

TEXT = DataManifest(
    task="text",
    digest="0" * 64,
    train_examples=64,
    val_examples=8,
    test_examples=8,
    tokens_per_example=32,
    input_shape=(32,),
    classes=256,
)


@pytest.mark.parametrize(
    ("asked", "width", "counted"),
    [
        (6_300, 16, 6_304),
        (14_000, 24, 14_064),
        (25_000, 32, 24_896),
        (56_000, 48, 55_776),
        (99_000, 64, 98_944),
        (100_000, 64, 98_944),
    ],
)
def test_quickstart_sizes_are_two_layers_deep(asked: int, width: int, counted: int) -> None:
    shape = Transformer.shape_for(asked, {}, TEXT)
    assert (shape.dim("width"), shape.dim("depth"), shape.params_non_embedding) == (width, 2, counted)


@pytest.mark.parametrize(("params", "width", "depth"), [(85_000_000, 768, 12), (174_000_000_000, 12_288, 96)])
def test_large_sizes_have_the_proportions_of_gpt(params: int, width: int, depth: int) -> None:
    shape = Transformer.shape_for(params, {}, TEXT)
    assert (shape.dim("width"), shape.dim("depth")) == (width, depth)


@given(st.floats(8_000, 10e9).map(int))
@settings(deadline=None, max_examples=300)
def test_counted_size_is_within_five_percent(params: int) -> None:
    shape = Transformer.shape_for(params, {}, TEXT)
    error = abs(shape.params_non_embedding - params) / params
    assert error <= (0.05 if params >= 25_000 else 0.08)
    assert shape.dim("width") % shape.dim("heads") == 0


@given(st.sampled_from([4, 8, 16, 64]), st.integers(2, 40).map(lambda k: 8 * k))
def test_heads_are_as_wide_as_asked_where_that_divides(head_dim: int, width: int) -> None:
    params = 2 * (12 * width**2 + 4 * width) + 2 * width
    shape = Transformer.shape_for(params, {"head_dim": head_dim}, TEXT)
    if shape.dim("width") % head_dim == 0:
        assert shape.dim("heads") == shape.dim("width") // head_dim


def test_no_position_sees_what_comes_after_it() -> None:
    shape = Transformer.shape_for(14_000, {}, TEXT)
    torch.manual_seed(0)
    model = TrainedTransformer.build(shape, {}, TEXT)
    tokens = torch.randint(256, (2, 32), generator=torch.Generator().manual_seed(1))
    changed = tokens.clone()
    changed[:, 20:] = 7
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.allclose(before[:, 20:], after[:, 20:])


def test_a_document_does_not_see_the_one_before_it_in_its_window() -> None:
    data = replace(TEXT, document_end=3)
    shape = Transformer.shape_for(14_000, {}, data)
    tokens = torch.randint(4, 256, (2, 32), generator=torch.Generator().manual_seed(1))
    tokens[0, 10] = 3  # of the second window the whole is one document
    changed = tokens.clone()
    changed[:, :10] = 7
    for manifest, sees in ((data, False), (TEXT, True)):
        torch.manual_seed(0)
        model = TrainedTransformer.build(shape, {}, manifest)
        before, after = model(tokens), model(changed)
        assert torch.equal(before[0, 11:], after[0, 11:]) is not sees
        assert not torch.allclose(before[1, 11:], after[1, 11:])
        assert not torch.allclose(before[:, 10], after[:, 10])  # an end belongs to what it ends


def test_dropout_draws_from_the_global_generator_and_rests_in_evaluation() -> None:
    options = {"dropout": 0.5}
    shape = Transformer.shape_for(14_000, options, TEXT)
    torch.manual_seed(0)
    model = TrainedTransformer.build(shape, options, TEXT)
    tokens = torch.randint(256, (2, 32))
    seen = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seen.append(model(tokens))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_mup_scales_the_rate_of_hidden_matrices_and_of_nothing_else() -> None:
    shape = Transformer.shape_for(99_000, {}, TEXT)
    model = TrainedTransformer.build(shape, {}, TEXT)
    hidden, head, rest = TrainedTransformer.parameter_groups(model, shape)
    assert [group[:2] for group in (hidden, head, rest)] == [(BASE_WIDTH / 64, True), (1.0, True), (1.0, False)]
    assert sum(p.numel() for p in hidden[2]) == 2 * 12 * 64**2
    assert sum(p.numel() for p in head[2]) == 256 * 64
    assert sum(p.numel() for p in rest[2]) == (256 + 32) * 64 + 5 * 2 * 64
