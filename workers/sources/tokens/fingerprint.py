"""What shards hold, by all of their bytes or by samples: identity, and the largest token.

Sets of up to ``WHOLE_BYTES`` are read as a whole, which takes a quarter of a second; of larger ones blocks at fixed
places are, so that 10¹² tokens start as soon as a thousand do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from orchestrator.errors import BadOption
from workers.sources.tokens.shard_file import Shard

WHOLE_BYTES: Final = 2**28
#: Bytes of a sampled block, blocks of a set, and the fewest of a shard.
BLOCK_BYTES: Final = 4_096
BLOCKS: Final = 2_048
FEWEST: Final = 1
#: Of a whole file, by which it is told from others without reading it: what a manifest keeps of each shard.
FILE_BLOCKS: Final = 16
_PIECE_BYTES: Final = 2**24


class Seen(NamedTuple):
    """What was found in a shard: SHA-256 (hex) of what was read, the largest token read, and whether that was all."""

    digest: str
    largest: int
    whole: bool


def looked_at(shards: Sequence[Shard]) -> list[Seen]:
    """Return what was found in each shard.

    Raises
    ------
    BadOption
        If 32-bit tokens are read as 16-bit ones.
    """
    whole = sum(shard.nbytes for shard in shards) <= WHOLE_BYTES
    per_shard = max(FEWEST, BLOCKS // max(1, len(shards)))
    return [_looked_at(shard, None if whole else per_shard) for shard in shards]


def _looked_at(shard: Shard, blocks: int | None) -> Seen:
    digest = hashlib.sha256(f"{shard.dtype} {shard.tokens} ".encode())
    itemsize = np.dtype(shard.dtype).itemsize
    largest, odd, even = 0, 0, 0
    for start, stop in _ranges(shard.tokens, itemsize, blocks):
        tokens = shard.read(start, stop)
        digest.update(tokens.tobytes())
        largest = max(largest, int(tokens.max()))
        odd, even = max(odd, int(tokens[1::2].max(initial=0))), max(even, int(tokens[::2].max(initial=0)))
    if shard.dtype == "uint16" and even and not odd and shard.tokens > 1:
        raise BadOption(
            "data",
            "dtype",
            f"{shard.path} read as uint16 has a zero at every second place: its tokens are uint32; write dtype: uint32",
        )
    return Seen(digest.hexdigest(), largest, blocks is None)


def _ranges(tokens: int, itemsize: int, blocks: int | None) -> Iterator[tuple[int, int]]:
    """Yield ranges of tokens: all of them, or evenly spread blocks of which the last is the end."""
    if blocks is None:
        step = _PIECE_BYTES // itemsize
        yield from ((start, min(start + step, tokens)) for start in range(0, tokens, step))
        return
    length = min(tokens, BLOCK_BYTES // itemsize)
    last = tokens - length
    for k in range(blocks):
        start = last * (k + 1) // blocks // 2 * 2  # an even place, so that halves of larger tokens stay in step
        yield start, min(start + length, tokens)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_spots(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's size and of blocks at fixed places in it."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size} ".encode())
    with path.open("rb") as file:
        for k in range(FILE_BLOCKS):
            file.seek(max(0, size - BLOCK_BYTES) * k // (FILE_BLOCKS - 1))
            digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()
