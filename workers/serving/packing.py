"""Small whole numbers and yes-or-no values packed into bytes without gaps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def packed(codes: npt.NDArray[np.int64], bits: int) -> Bytes:
    """Return signed numbers of so many bits, least significant bit first, as bytes.

    Raises
    ------
    ValueError
        If a number doesn't fit.
    """
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if codes.size and not low <= codes.min() <= codes.max() <= high:
        raise ValueError(f"numbers {codes.min()}..{codes.max()} don't fit into {bits} bits")
    unsigned = (codes.reshape(-1) - low).astype(np.uint8)
    return np.packbits((unsigned[:, None] >> np.arange(bits, dtype=np.uint8)) & 1, bitorder="little")


def unpacked(data: Bytes, bits: int, count: int) -> npt.NDArray[np.int64]:
    """Return the ``count`` signed numbers that :func:`packed` made into bytes."""
    single = np.unpackbits(data, count=bits * count, bitorder="little").reshape(count, bits)
    signed: npt.NDArray[np.int64] = single.astype(np.int64) @ (1 << np.arange(bits)) - 2 ** (bits - 1)
    return signed


def mask_bytes(mask: npt.NDArray[np.bool_]) -> Bytes:
    """Return one bit for each value."""
    return np.packbits(mask.reshape(-1), bitorder="little")


def mask_of(data: Bytes, count: int) -> npt.NDArray[np.bool_]:
    """Return the ``count`` values that :func:`mask_bytes` made into bytes."""
    return np.unpackbits(data, count=count, bitorder="little").astype(np.bool_)
