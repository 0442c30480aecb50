"""One file of tokens: what its first bytes and its size say, without reading the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import BadOption

#: Files that hold a flat run of tokens, and those whose columns are copied into one first.
FLAT = (".bin", ".npy")
COLUMNS = (".parquet", ".arrow", ".feather")
#: First number of a header of 256 int32 (llm.c, modded-nanogpt), and the type of the tokens behind it.
HEADERS = {20240520: "uint16", 20240801: "uint32"}
HEADER_BYTES = 1024
#: Types of a ``.npy`` and their unsigned equals, as which they are read; a negative token is found as one too large.
UNSIGNED = {"uint8": "uint8", "uint16": "uint16", "int16": "uint16", "uint32": "uint32", "int32": "uint32"}


@dataclass(frozen=True, slots=True)
class Shard:
    """A flat run of tokens in a file.

    Parameters
    ----------
    path
        Where it lies on this node.
    dtype
        ``uint8``, ``uint16`` or ``uint32``, little-endian.
    offset_bytes
        Where the tokens begin.
    tokens
        How many there are.
    """

    path: Path
    dtype: str
    offset_bytes: int
    tokens: int

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens."""
        return self.tokens * np.dtype(self.dtype).itemsize

    def windows(self, context: int) -> int:
        """Return how many windows it holds; the last target of a window lies one past it."""
        return max(0, (self.tokens - 1) // context)

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the tokens ``[start, stop)``, read from the file and not mapped."""
        dtype = np.dtype(self.dtype)
        return np.fromfile(self.path, dtype, stop - start, offset=self.offset_bytes + start * dtype.itemsize)


def flat_shard(path: Path, dtype: str, *, headless: bool = False) -> Shard:
    """Return what a ``.bin`` or ``.npy`` holds.

    Parameters
    ----------
    dtype
        What a ``.bin`` without header is made of: ``uint16`` or ``uint32``.
    headless
        Whether it is known to have no header.

    Raises
    ------
    BadOption
        If it can't be read, is empty, has an odd byte at its end, or holds something else than tokens.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if path.suffix == ".npy":
                return _npy(path, file, size)
            head = np.frombuffer(file.read(12), "<i4")
    except OSError as error:
        raise BadOption("data", "paths", f"{path} can't be read: {error.strerror}") from error
    if not headless and size >= HEADER_BYTES and head[0] in HEADERS:
        shard = Shard(path, HEADERS[int(head[0])], HEADER_BYTES, int(head[2]))
        if shard.nbytes != size - HEADER_BYTES:
            raise BadOption(
                "data",
                "paths",
                f"{path} is cut off or goes on too long: its header says {shard.tokens:,} tokens of {shard.dtype}, "
                f"{shard.nbytes:,} bytes, and {size - HEADER_BYTES:,} follow; write it anew",
            )
        return shard
    return _of_size(path, dtype, 0, size)


def _npy(path: Path, file: Any, size: int) -> Shard:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise BadOption("data", "paths", f"{path} is no .npy file ({error}): write it anew with numpy.save") from error
    if dtype.name not in UNSIGNED or dtype.byteorder == ">" or len(shape) != 1:
        what = f"{len(shape)} axes of {dtype}"
        raise BadOption(
            "data", "paths", f"{path} holds {what}: tokens are one axis of uint16 or uint32, so save it as such"
        )
    found = _of_size(path, UNSIGNED[dtype.name], file.tell(), size - file.tell())
    if found.tokens != shape[0]:
        raise BadOption(
            "data", "paths", f"{path} is cut off: {found.tokens:,} of its {shape[0]:,} tokens are there; write it anew"
        )
    return found


def _of_size(path: Path, dtype: str, offset_bytes: int, nbytes: int) -> Shard:
    itemsize = np.dtype(dtype).itemsize
    if not nbytes:
        raise BadOption("data", "paths", f"{path} holds no token: it is empty; leave it out")
    if nbytes % itemsize:
        raise BadOption(
            "data",
            "paths",
            f"{path} has {nbytes:,} bytes, {nbytes % itemsize} more than tokens of {dtype} fill: it is cut off, or "
            "data.dtype is another",
        )
    return Shard(path, dtype, offset_bytes, nbytes // itemsize)
