"""Random shifts of images, the augmentation of small-image training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch


def drawn_offsets(images: int, most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return how far off each image is to be read, in rows and in columns, int64 (2, images).

    Parameters
    ----------
    most
        Offsets are uniform over ``-most`` … ``most`` pixels.
    """
    return rng.integers(0, 2 * most + 1, size=(2, images)) - most


def moved(x_BCHW: torch.Tensor, offsets_2B: torch.Tensor) -> torch.Tensor:
    """Return images read at an offset each, their edges repeated, on the device and with the strides of a fresh tensor.

    Parameters
    ----------
    x_BCHW
        Images ``(batch, channels, height, width)``.
    offsets_2B
        Pixel ``(row, column)`` of image i comes from ``(row + offsets[0, i], column + offsets[1, i])``; int64, on the
        same device.
    """
    B, C, H, W = x_BCHW.shape
    top, left = offsets_2B.unsqueeze(2)
    rows = (top + torch.arange(H, device=x_BCHW.device)).clamp_(0, H - 1)
    columns = (left + torch.arange(W, device=x_BCHW.device)).clamp_(0, W - 1)
    pixels = torch.add(columns.unsqueeze(1), rows.unsqueeze(2), alpha=W).view(B, 1, H * W)
    return x_BCHW.flatten(2).gather(2, pixels.expand(B, C, H * W)).view(B, C, H, W)
