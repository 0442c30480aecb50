"""Windows of tokens in shards that may be larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from orchestrator.errors import BadOption
from workers.sources.indices import Indices
from workers.sources.source import Gather
from workers.sources.tokens.shard_reader import ShardReader

if TYPE_CHECKING:  # planning counts windows without torch
    import torch

#: Tokens that go to a device in one copy.
UPLOADED = 2**24


class TokenWindows:
    """Consecutive windows of shards, none across two of them: a range of all that they hold.

    Parameters
    ----------
    reader
        Reads the shards.
    context
        T, the length of a window in tokens.
    first, count
        Which windows, counted over all shards in their order.
    vocabulary
        Every token is below it.
    """

    def __init__(self, reader: ShardReader, context: int, *, first: int, count: int, vocabulary: int) -> None:
        self.reader, self.context, self.first, self.count = reader, context, first, count
        self.vocabulary = vocabulary
        self.dtype = reader.dtype
        counts = [shard.windows(context) for shard in reader.shards]
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
        windows = indices + self.first
        shard_of = np.searchsorted(self._starts, windows, side="right") - 1
        window = self.reader.runs(shard_of, (windows - self._starts[shard_of]) * self.context, self.context + 1)
        if len(indices) and (largest := int(window.max())) >= self.vocabulary:
            where = self.reader.shards[int(shard_of[window.max(axis=1).argmax()])]
            raise BadOption(
                "data",
                "vocabulary",
                f"is {self.vocabulary:,}, and {where.path} holds token {largest:,}: write the tokenizer's, or look at "
                "data.dtype",
            )
        return window[:, :-1].astype(np.int64, order="C"), window[:, 1:].astype(np.int64, order="C")

    @property
    def resident_bytes(self) -> int:
        """Return the bytes of the tokens."""
        return sum(shard.nbytes for shard in self.reader.shards)

    def upload(self, device: torch.device) -> Gather:
        """Copy the tokens of all shards to a device, in the type that they have in the files."""
        import torch

        signed = np.dtype(f"i{self.dtype.itemsize}") if self.dtype.itemsize > 1 else self.dtype
        bits = 8 * self.dtype.itemsize
        offsets = np.concatenate([[0], np.cumsum([shard.tokens for shard in self.reader.shards], dtype=np.int64)])
        text = torch.empty(int(offsets[-1]), dtype=torch.from_numpy(np.empty(0, signed)).dtype, device=device)
        for start, shard in zip(offsets.tolist(), self.reader.shards, strict=False):
            for at in range(0, shard.tokens, UPLOADED):
                piece = shard.read(at, min(at + UPLOADED, shard.tokens)).view(signed)
                text[start + at : start + at + len(piece)] = torch.from_numpy(piece).to(device)
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
