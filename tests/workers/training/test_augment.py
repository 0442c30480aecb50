"""Random shifts by value."""

from __future__ import annotations

import numpy as np

from workers.training.augment import shifted


def test_a_shift_moves_the_image_and_repeats_its_edge():
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    seen = {shifted(x, 1, np.random.default_rng(k)).tobytes() for k in range(100)}
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    possible = {np.ascontiguousarray(padded[:, :, i : i + 4, j : j + 4]).tobytes() for i in range(3) for j in range(3)}
    assert seen == possible


def test_each_image_has_its_own_shift_and_channels_move_together():
    x = np.random.default_rng(0).normal(size=(64, 2, 5, 5)).astype(np.float32)
    x[:, 1] = x[:, 0]
    moved = shifted(x, 2, np.random.default_rng(1))
    assert moved.shape == x.shape
    assert np.array_equal(moved[:, 0], moved[:, 1])
    assert 0 < sum(np.array_equal(a, b) for a, b in zip(moved, x, strict=True)) < 64


def test_a_shifted_batch_has_the_strides_of_a_fresh_array():
    x = np.zeros((4, 1, 6, 6), np.float32)
    assert shifted(x, 1, np.random.default_rng(0)).strides == x.strides
