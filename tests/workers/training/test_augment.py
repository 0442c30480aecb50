"""Random shifts by value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workers.training.augment import drawn_offsets, moved


def test_a_moved_image_repeats_its_edge():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    for top in range(-2, 3):
        for left in range(-2, 3):
            seen = moved(x, torch.tensor([[top], [left]])).numpy()
            assert np.array_equal(seen, padded[:, :, 2 + top : 6 + top, 2 + left : 6 + left]), (top, left)


def test_each_image_has_its_own_offset_and_channels_move_together():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 1, 5, 6)).astype(np.float32)).repeat(1, 2, 1, 1)
    out = moved(x, torch.tensor([[0, 1, -2], [0, -1, 2]]))
    assert torch.equal(out[:, 0], out[:, 1])
    assert torch.equal(out[0], x[0])
    assert torch.equal(out[1, :, :-1, 1:], x[1, :, 1:, :-1])
    assert torch.equal(out[2, :, 2:, :-2], x[2, :, :-2, 2:])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_moved_batch_has_the_strides_of_a_fresh_tensor(batch, channels):
    transposed = torch.zeros(batch, 6, 5, channels).permute(0, 3, 1, 2)
    out = moved(transposed, torch.ones(2, batch, dtype=torch.int64))
    assert out.stride() == torch.empty(batch, channels, 6, 5).stride()


def test_offsets_are_uniform_up_to_the_most_pixels_and_never_change():
    offsets = drawn_offsets(10_000, 2, np.random.default_rng(1))
    values, counts = np.unique(offsets, return_counts=True)
    assert offsets.shape == (2, 10_000)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert np.abs(counts - 4_000).max() < 200
    assert drawn_offsets(4, 2, np.random.default_rng(7)).tolist() == [[2, 1, 1, 2], [0, 1, 2, -1]]
