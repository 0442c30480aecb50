"""Windows read from shards: through a shared mapping where all of them are few, else by reads at their places.

A mapping of a large set grows the resident set by every page that it touches, and ends the process where a file is cut
off under it. Reads at a place (``pread``) do neither, and those of a batch are announced first, so that a disk serves
them together.
"""

from __future__ import annotations

import mmap
import os
import resource
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import BadOption
from workers.sources.indices import Indices
from workers.sources.tokens.shard_file import Shard

#: Shards that are together no larger are mapped; workers on a node share the memory.
MAPPED_BYTES = 2**28
#: Of the files that the process may have open, this share is for shards.
OPEN_SHARE = 0.25


class ShardReader:
    """Reads runs of tokens out of shards of one type.

    Parameters
    ----------
    shards
        Where they lie, one or more.
    """

    def __init__(self, shards: tuple[Shard, ...]) -> None:
        self.shards = shards
        self.dtype = np.dtype(shards[0].dtype if shards else "uint16")
        self.mapped = sum(shard.nbytes for shard in shards) <= MAPPED_BYTES
        self._arrays: dict[int, npt.NDArray[Any]] = {}
        self._files: OrderedDict[int, _OpenFile] = OrderedDict()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = max(8, int(OPEN_SHARE * (limit if limit != resource.RLIM_INFINITY else 65_536)))

    def runs(self, shard_of: Indices, starts: Indices, length: int) -> npt.NDArray[Any]:
        """Return runs of tokens as rows, (B, length).

        Parameters
        ----------
        shard_of, starts
            The shard of each run, and where in it the run begins, in tokens.

        Raises
        ------
        BadOption
            If a shard ends before a run does: it was cut off since it was opened.
        """
        found = np.empty((len(starts), length), self.dtype)
        if self.mapped:
            for row, (index, start) in enumerate(zip(shard_of.tolist(), starts.tolist(), strict=True)):
                found[row] = self.tokens(index)[start : start + length]
            return found
        itemsize, nbytes = self.dtype.itemsize, length * self.dtype.itemsize
        places = [
            (index, self.shards[index].offset_bytes + start * itemsize)
            for index, start in zip(shard_of.tolist(), starts.tolist(), strict=True)
        ]
        view = found.data.cast("B")
        for index, offset in places:
            os.posix_fadvise(self._file(index), offset, nbytes, os.POSIX_FADV_WILLNEED)
        for row, (index, offset) in enumerate(places):
            if os.preadv(self._file(index), [view[row * nbytes : (row + 1) * nbytes]], offset) != nbytes:
                raise BadOption("data", "paths", f"{self.shards[index].path} was cut off while it was read")
        return found

    def tokens(self, index: int) -> npt.NDArray[Any]:
        """Return all tokens of a shard, mapped and read-only."""
        if index not in self._arrays:
            shard = self.shards[index]
            with shard.path.open("rb") as file:
                # Its pages were all read before, for the digest: to map them one by one would cost more.
                pages = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)
            self._arrays[index] = np.frombuffer(pages, self.dtype, shard.tokens, shard.offset_bytes)
        return self._arrays[index]

    def _file(self, index: int) -> int:
        if index in self._files:
            self._files.move_to_end(index)
        else:
            self._files[index] = _OpenFile(self.shards[index])
            while len(self._files) > self._most:
                self._files.popitem(last=False)
        return self._files[index].number


class _OpenFile:
    """A file that is open as long as somebody holds this."""

    def __init__(self, shard: Shard) -> None:
        self.number = os.open(shard.path, os.O_RDONLY | os.O_CLOEXEC)
        os.posix_fadvise(self.number, 0, 0, os.POSIX_FADV_RANDOM)  # what follows a window is not the next one

    def __del__(self) -> None:
        os.close(self.number)
