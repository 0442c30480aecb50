"""Batches as tensors on the device, of which no step waits for a copy of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from orchestrator.planning.tree import Stage
from workers.derived_seed import derived_seed
from workers.sources.indices import Indices
from workers.sources.order import EpochOrder
from workers.sources.source import ResidentSplit, Split
from workers.training.augment import drawn_offsets, moved
from workers.training.nested import mapped

#: Steps whose indices and offsets go to the device in one copy: 0.4 MB at batch 64.
CHUNK_STEPS = 256
#: A split takes at most this share of the memory that is free on the device when its feed is made; the rest is the
#: model's, and that of other workers on the same device.
RESIDENT_SHARE = 0.25

#: Inputs and targets; of a family with a loss of its own any structure of tensors.
Batch = Any


class Pick(NamedTuple):
    """The examples of one batch, int64 (B,), and how far each image is moved, int64 (2, B) or not at all."""

    indices: Indices
    offsets: npt.NDArray[np.int64] | None = None


def training_picks(order: EpochOrder, stage: Stage, *, start: int, mine: slice) -> Iterator[Pick]:
    """Yield what the optimiser steps ``[start, stage.stop_step)`` read on one rank.

    Offsets are drawn for the global batch from (seed, step) and cut as its examples are, so the shares of the ranks put
    together are the batch of a single worker (I9).

    Parameters
    ----------
    order
        Says which examples stand at the stream's positions.
    mine
        This rank's share of the ``batch_size`` examples of a step.
    """
    batch, most = stage.recipe.batch_size, stage.recipe.shift_pixels
    for first in range(start, stage.stop_step, CHUNK_STEPS):
        end = min(first + CHUNK_STEPS, stage.stop_step)
        indices_SB = order.indices(stage.stream_examples, first * batch, end * batch).reshape(-1, batch)[:, mine]
        for step, indices in enumerate(indices_SB, first):
            offsets = None
            if most:
                rng = np.random.default_rng(derived_seed(stage.seed, "shift", step))
                offsets = drawn_offsets(batch, most, rng)[:, mine]
            yield Pick(indices, offsets)


class Feed:
    """Reads a split into tensors on a device; make it once a worker, since making it is what uploads the data.

    On a GPU a resident split (bytes of images or text) is uploaded once, if it takes no more than ``RESIDENT_SHARE``
    of the free memory; batches are then gathered, normalised and moved there, and the host sends indices alone, those
    of ``CHUNK_STEPS`` steps at a time. Lazily decoded and larger splits are read on the host and sent from pinned
    memory, which the host doesn't wait for either. On the CPU numpy gathers, since it is the faster one there. All
    three ways give the same bits.

    Parameters
    ----------
    split
        What is read.
    device
        Where the tensors are wanted.
    resident
        Whether to hold the split on the device; ``None`` decides as said above.
    """

    def __init__(self, split: Split, device: torch.device, *, resident: bool | None = None) -> None:
        self.split, self.device = split, device
        #: Called after each scored batch: a sign of life where no step is made.
        self.beat: Callable[[], None] = lambda: None
        if resident is None:
            resident = isinstance(split, ResidentSplit) and _has_room(device, split.resident_bytes)
        if resident and not isinstance(split, ResidentSplit):
            raise TypeError(f"{type(split).__name__} can't be resident: it has no resident_bytes and upload")
        self._gather = split.upload(device) if resident and isinstance(split, ResidentSplit) else None

    @property
    def resident(self) -> bool:
        """Tell whether the split lies on the device as a whole."""
        return self._gather is not None

    def batches(self, picks: Iterable[Pick]) -> Iterator[Batch]:
        """Yield inputs and targets of each pick as :meth:`~workers.sources.source.Split.batch` states them.

        Parameters
        ----------
        picks
            Batches of any sizes, images moved in all of them or in none; read up to ``CHUNK_STEPS`` ahead.

        Yields
        ------
        x, y
            With the strides of fresh tensors, safe to write into.

        Raises
        ------
        IndexError
            If an index lies outside the split.
        BadInput
            If an image that is decoded now is damaged.
        """
        if self._gather is None:
            yield from map(self._read, picks)
            return
        coming = iter(picks)
        while chunk := list(islice(coming, CHUNK_STEPS)):
            for indices, offsets in self._uploaded(chunk):
                x, y = self._gather(indices)
                yield (x if offsets is None else moved(x, offsets)), y

    def _read(self, pick: Pick) -> Batch:
        batch = mapped(_tensor, self.split.batch(pick.indices))
        if pick.offsets is not None:
            x, y = batch
            batch = moved(x, torch.from_numpy(pick.offsets)), y
        if self.device.type == "cpu":
            return batch
        return mapped(lambda leaf: self._sent(leaf) if isinstance(leaf, torch.Tensor) else leaf, batch)

    def _uploaded(self, chunk: Sequence[Pick]) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        indices = np.concatenate([pick.indices for pick in chunk])
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self.split):
            raise IndexError(f"examples {indices.min()}..{indices.max()} of a split of {len(self.split)}")
        sizes = [len(pick.indices) for pick in chunk]
        offsets: Iterable[torch.Tensor | None] = repeat(None, len(chunk))
        if chunk[0].offsets is not None:
            offsets = self._sent(_tensor(np.concatenate([pick.offsets for pick in chunk], axis=1))).split(sizes, 1)
        return zip(self._sent(_tensor(indices)).split(sizes), offsets, strict=True)

    def _sent(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the tensor on the device; pinned memory may be given up at once, torch keeps it until it is read."""
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def _has_room(device: torch.device, wanted_bytes: int) -> bool:
    return device.type == "cuda" and wanted_bytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def _tensor(array: Any) -> Any:
    """Return a contiguous array as a tensor with the strides of a fresh one; a tensor as it is.

    Numpy calls a transposed batch of one channel contiguous and keeps strides that torch takes for channels-last, on
    which its CPU convolutions have written past their buffers.
    """
    if not isinstance(array, np.ndarray):  # a tensor, or what a family's own batch holds beside
        return array
    if 1 in array.shape:
        array = array.reshape(-1).reshape(array.shape)
    return torch.from_numpy(array)
