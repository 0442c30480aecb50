"""Windows of tokens in shards that may be larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from orchestrator.errors import BadOption
from workers.sources.source import Gather, Indices
from workers.sources.tokens.shard_maps import ShardMaps

if TYPE_CHECKING:  # planning counts windows without torch
    import torch


class TokenWindows:
    """Consecutive windows of shards, none across two of them: a range of all that they hold.

    Parameters
    ----------
    maps
        The shards, one or more, all of one type.
    context
        T, the length of a window in tokens.
    first, count
        Which windows, counted over all shards in their order.
    vocabulary
        Every token is below it.
    """

    def __init__(self, maps: ShardMaps, context: int, *, first: int, count: int, vocabulary: int) -> None:
        self.maps, self.context, self.first, self.count = maps, context, first, count
        self.vocabulary = vocabulary
        self.dtype = np.dtype(maps.shards[0].dtype)
        counts = [shard.windows(context) for shard in maps.shards]
        #: Number of the first window of each shard, and of the one after the last.
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Indices) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return tokens int64 (B, T) and the same shifted by one, int64 (B, T).

        Raises
        ------
        IndexError
            If an index lies outside.
        BadOption
            If a token isn't below the vocabulary: of a large set only samples were looked at before.
        """
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.count:
            raise IndexError(f"no window {indices.max()} among {self.count}")
        window = self._read(indices + self.first)
        self.maps.touched(len(indices), self.context * self.dtype.itemsize)
        if len(indices) and (largest := int(window.max())) >= self.vocabulary:
            where = self.maps.shards[int(self._shard_of(indices + self.first)[int(window.max(axis=1).argmax())])]
            raise BadOption(
                "data",
                "vocabulary",
                f"is {self.vocabulary:,}, and {where.path} holds token {largest:,}: raise it to the tokenizer's, or "
                "look at data.dtype",
            )
        return window[:, :-1].astype(np.int64, order="C"), window[:, 1:].astype(np.int64, order="C")

    def _shard_of(self, windows: Indices) -> Indices:
        return np.searchsorted(self._starts, windows, side="right") - 1

    def _read(self, windows: Indices) -> npt.NDArray[Any]:
        if len(self.maps.shards) == 1:
            return self._of_shard(0, windows)
        found = np.empty((len(windows), self.context + 1), self.dtype)
        shard_of = self._shard_of(windows)
        for index in np.unique(shard_of):
            mine = shard_of == index
            found[mine] = self._of_shard(int(index), windows[mine] - self._starts[index])
        return found

    def _of_shard(self, index: int, windows: Indices) -> npt.NDArray[Any]:
        tokens = self.maps.tokens(index)
        rows = self.maps.shards[index].windows(self.context)
        # Row i is window i and the token after it, which is also the first of row i + 1: nothing is copied.
        view = as_strided(
            tokens, (rows, self.context + 1), (self.context * tokens.itemsize, tokens.itemsize), writeable=False
        )
        copied: npt.NDArray[Any] = view[windows]
        return copied

    @property
    def resident_bytes(self) -> int:
        """Return the bytes of the tokens."""
        return sum(shard.nbytes for shard in self.maps.shards)

    def upload(self, device: torch.device) -> Gather:
        """Copy the tokens of all shards to a device, in the type that they have in the files."""
        import torch

        signed = np.dtype(f"i{self.dtype.itemsize}") if self.dtype.itemsize > 1 else self.dtype
        bits = 8 * self.dtype.itemsize
        offsets = np.concatenate([[0], np.cumsum([shard.tokens for shard in self.maps.shards], dtype=np.int64)])
        text = torch.empty(int(offsets[-1]), dtype=torch.from_numpy(np.empty(0, signed)).dtype, device=device)
        for k, start in enumerate(offsets[:-1]):
            run = self.maps.tokens(k).view(signed)
            for at in range(0, len(run), 2**24):  # the pages that are copied are given back on the way
                piece = run[at : at + 2**24]
                text[start + at : start + at + len(piece)] = torch.from_numpy(piece.copy()).to(device)
                self.maps.touched(len(piece) // self.context + 1, self.context * self.dtype.itemsize)
        # Window w of shard k begins at w · T plus what the shards before it hold beyond their windows.
        shifts = torch.tensor(offsets[:-1] - self._starts[:-1] * self.context, device=device)
        bounds = torch.tensor(self._starts[1:-1], device=device)
        ahead = torch.arange(self.context + 1, device=device)

        def gather(indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            windows = indices + self.first
            begin = windows * self.context + shifts[torch.bucketize(windows, bounds, right=True)]
            # Torch has few kernels for unsigned types: what was read as a negative number is set right here.
            window = text[begin[:, None] + ahead].to(torch.int64) & ((1 << bits) - 1)
            return window[:, :-1].contiguous(), window[:, 1:].contiguous()

        return gather
