"""Random shifts of images, the augmentation of small-image training."""

from __future__ import annotations

import numpy as np


def shifted(x_BCHW: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return each image moved by up to ``most`` pixels along both axes, its edge repeated.

    Parameters
    ----------
    x_BCHW
        Images ``(batch, channels, height, width)``.
    rng
        Draws one shift per image.
    """
    B, _, H, W = x_BCHW.shape
    padded = np.pad(x_BCHW, ((0, 0), (0, 0), (most, most), (most, most)), mode="edge")
    top, left = rng.integers(0, 2 * most + 1, size=(2, B))
    rows = top[:, None] + np.arange(H)
    columns = left[:, None] + np.arange(W)
    moved = padded[np.arange(B)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    # Copied into a fresh array: with one channel numpy calls the transposed view contiguous and keeps strides that
    # torch takes for channels-last, on which its CPU convolutions have written past their buffers.
    out = np.empty_like(x_BCHW, order="C")
    out[...] = moved.transpose(0, 3, 1, 2)
    return out
