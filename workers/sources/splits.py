"""Splits that stay in memory: images as bytes, and text as one run of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from workers.sources.indices import Indices
from workers.sources.source import Gather

if TYPE_CHECKING:  # the manifest of a text is made here, without torch
    import torch


class ArraySplit:
    """Images held as bytes and normalised batch by batch.

    Parameters
    ----------
    images
        uint8 (N, C, H, W).
    labels
        int64 (N,).
    mean, std
        Mean and standard deviation of each channel's raw values.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        *,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        self.images, self.labels = images, labels
        self._mean = np.asarray(mean, np.float32).reshape(1, -1, 1, 1)
        self._scale = np.float32(1) / np.asarray(std, np.float32).reshape(1, -1, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Indices) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return images float32 (B, C, H, W) of about zero mean and unit variance, and labels int64 (B,)."""
        x = self.images.take(indices, axis=0).astype(np.float32)
        x -= self._mean
        x *= self._scale
        return x, self.labels.take(indices)

    @property
    def resident_bytes(self) -> int:
        """Return the bytes of images and labels."""
        return self.images.nbytes + self.labels.nbytes

    def upload(self, device: torch.device) -> Gather:
        """Copy images, as bytes, and labels to a device."""
        import torch

        images, labels, mean, scale = (
            torch.tensor(array, device=device) for array in (self.images, self.labels, self._mean, self._scale)
        )

        def gather(indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = images.index_select(0, indices).to(torch.float32)
            return x.sub_(mean).mul_(scale), labels.index_select(0, indices)

        return gather


class ByteWindows:
    """Consecutive windows of a text: example i reads ``context`` bytes from ``i * context`` on.

    Parameters
    ----------
    text
        uint8 (bytes,).
    context
        T, the length of a window in bytes.
    """

    def __init__(self, text: npt.NDArray[np.uint8], context: int) -> None:
        self.text, self.context = text, context
        # Row i is window i and the byte after it, which is also the first of row i + 1: nothing is copied.
        self._windows = as_strided(text, (len(self), context + 1), (context, 1), writeable=False)

    def __len__(self) -> int:
        return windows_in(len(self.text), self.context)

    def batch(self, indices: Indices) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return tokens int64 (B, T) and the same shifted by one byte, int64 (B, T)."""
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"no window {indices.max()} among {len(self)}")
        window = self._windows[indices]
        return window[:, :-1].astype(np.int64, order="C"), window[:, 1:].astype(np.int64, order="C")

    @property
    def resident_bytes(self) -> int:
        """Return the bytes of the text."""
        return self.text.nbytes

    def upload(self, device: torch.device) -> Gather:
        """Copy the text to a device."""
        import torch

        text = torch.tensor(self.text, device=device)
        windows = text.as_strided((len(self), self.context + 1), (self.context, 1))

        def gather(indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            window = windows.index_select(0, indices)
            # A plain .long() keeps the strides of the slice when it is one window alone.
            return (
                window[:, :-1].to(torch.int64, memory_format=torch.contiguous_format),
                window[:, 1:].to(torch.int64, memory_format=torch.contiguous_format),
            )

        return gather


def windows_in(text_bytes: int, context: int) -> int:
    """Return how many windows a text holds; the last byte of each window's target lies one past the window."""
    return max(0, (text_bytes - 1) // context)
