"""A split that decodes its images when they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from workers.sources.indices import Indices


class FolderSplit:
    """Some examples of a torchvision data set that yields (tensor, label).

    Parameters
    ----------
    dataset
        A map-style data set whose inputs are float32 tensors (C, H, W) of one shape.
    positions
        Which of its examples belong to the split, int64 (N,).
    """

    def __init__(self, dataset: Any, positions: Indices) -> None:
        self.dataset, self.positions = dataset, positions

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, indices: Indices) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return images float32 (B, C, H, W) and labels int64 (B,).

        Raises
        ------
        BadInput
            If an image is damaged; the message names its file.
        """
        images, labels = zip(*(self.dataset[int(i)] for i in self.positions[indices]), strict=True)
        return np.stack([image.numpy() for image in images]), np.array(labels, np.int64)
