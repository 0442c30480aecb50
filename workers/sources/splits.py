"""Splits that stay in memory: images as bytes, and text as one run of bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from workers.sources.source import Indices


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
        x = (self.images[indices].astype(np.float32) - self._mean) * self._scale
        return x, self.labels[indices]


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

    def __len__(self) -> int:
        return windows_in(len(self.text), self.context)

    def batch(self, indices: Indices) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return tokens int64 (B, T) and the same shifted by one byte, int64 (B, T)."""
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"no window {indices.max()} among {len(self)}")
        window = self.text[indices[:, None] * self.context + np.arange(self.context + 1)].astype(np.int64)
        return np.ascontiguousarray(window[:, :-1]), np.ascontiguousarray(window[:, 1:])


def windows_in(text_bytes: int, context: int) -> int:
    """Return how many windows a text holds; the last byte of each window's target lies one past the window."""
    return max(0, (text_bytes - 1) // context)
