"""Shards mapped into memory, of which a process keeps no more pages and files than it needs."""

from __future__ import annotations

import mmap
import resource
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.sources.tokens.shard_file import Shard

#: Pages that reads have touched are given back once they may come to so much: they stay in the page cache, from which
#: they are mapped again without a read, and count for nobody's resident set.
RESIDENT_BYTES = 256 * 1024**2
#: What a read of a window may map: the kernel maps the pages around it as well, where it has them.
AROUND_BYTES = 64 * 1024
#: Of the files that the process may have open, this share is for maps; each holds one.
OPEN_SHARE = 0.25


class ShardMaps:
    """The token arrays of some shards, each mapped when it is first read.

    Parameters
    ----------
    shards
        Where they lie.
    """

    def __init__(self, shards: tuple[Shard, ...]) -> None:
        self.shards = shards
        self._open: OrderedDict[int, tuple[mmap.mmap, npt.NDArray[Any]]] = OrderedDict()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = max(8, int(OPEN_SHARE * (limit if limit != resource.RLIM_INFINITY else 65_536)))
        self._small = sum(shard.nbytes for shard in shards) <= RESIDENT_BYTES
        self._touched_bytes = 0

    def tokens(self, index: int) -> npt.NDArray[Any]:
        """Return all tokens of a shard, read-only; nothing is read before it is looked at."""
        if index in self._open:
            self._open.move_to_end(index)
            return self._open[index][1]
        shard = self.shards[index]
        with shard.path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if not self._small:
            mapped.madvise(mmap.MADV_RANDOM)  # to read ahead of a window would be for nothing
        found = np.frombuffer(mapped, np.dtype(shard.dtype), shard.tokens, shard.offset_bytes)
        self._open[index] = mapped, found
        while len(self._open) > self._most:
            self._open.popitem(last=False)
        return found

    def touched(self, windows: int, window_bytes: int) -> None:
        """Note that so many windows were read, and give pages back where that is due."""
        if self._small:
            return
        self._touched_bytes += windows * max(window_bytes, AROUND_BYTES)
        if self._touched_bytes >= RESIDENT_BYTES:
            for mapped, _ in self._open.values():
                mapped.madvise(mmap.MADV_DONTNEED)
            self._touched_bytes = 0
