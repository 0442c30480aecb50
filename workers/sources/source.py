"""The seam behind which a data source stands, and what it hands to a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.sources.indices import Indices

if TYPE_CHECKING:  # planning reads manifests without torch
    import torch

    from workers.sources.order import EpochOrder

#: Takes indices int64 (B,) on a device and returns x and y there, fresh and C-contiguous, as ``Split.batch`` would.
Gather: TypeAlias = "Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]"


class Split(Protocol):
    """The examples of one split, in an order that never changes."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def batch(self, indices: Indices) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Return the inputs and targets of some examples, C-contiguous and safe to write into.

        Parameters
        ----------
        indices
            Which examples, int64 (B,), each below ``len(self)``; repeats are fine.

        Returns
        -------
        x, y
            Tokens int64 (B, T) and the tokens that follow each, int64 (B, T); or images float32 (B, C, H, W) and
            labels int64 (B,).
        """


@runtime_checkable
class ResidentSplit(Split, Protocol):
    """A split held in memory as raw values, which a device may hold as well."""

    @property
    def resident_bytes(self) -> int:
        """Return the device memory that ``upload`` takes."""

    def upload(self, device: torch.device) -> Gather:
        """Copy the raw values to a device.

        Returns
        -------
        gather
            Equals ``batch`` to the bit and never makes the host wait for the device. It checks no index: one out of
            range ends the CUDA context.
        """


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A loaded data set: the manifest that planning saw, and the splits behind its figures.

    Parameters
    ----------
    ordered
        Makes the order of training from the number of training examples and a seed; ``None``: the usual one, a
        permutation held in memory.
    token_bytes
        Bytes of text behind each token, (vocabulary,), by which losses are told in bits per byte; 1.0 where each token
        is a byte, ``None`` where it isn't known.
    """

    manifest: DataManifest
    train: Split
    val: Split
    test: Split
    ordered: Callable[[int, int], EpochOrder] | None = None
    token_bytes: npt.NDArray[np.uint16] | float | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}


class Source(Protocol):
    """A data source.

    Guarantees: ``manifest`` imports no torch, decodes no image and depends on the data and the options alone;
    ``load`` returns a data set whose manifest equals it and whose splits have the sizes that it states. No example
    stands in two splits. ``data.max_examples`` is the caller's business.
    """

    name: str
    Options: type[Options]

    def manifest(self, options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity; ``context`` is the window of a language model in bytes, else without effect.

        Raises
        ------
        BadInput
            If files are missing, damaged or too few.
        """

    def load(self, options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return the data set, resident or lazily decoded.

        Raises
        ------
        BadInput
            As ``manifest``; a damaged image may show only when it is decoded.
        """
