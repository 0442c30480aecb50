"""One array of a model ↔ the arrays that are written for it: as it is, as bits, or as a mask with what it leaves.

The smallest of the ways that give the same bits back is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from workers.serving.packing import mask_bytes, mask_of, packed, unpacked

Arrays = dict[str, np.ndarray]


def encoded(array: np.ndarray, scale: np.ndarray | None, bits: int | None) -> tuple[Arrays, dict[str, Any]]:
    """Return what is written for an array, by suffix, and how to read it.

    Parameters
    ----------
    array
        Any values; of a quantised weight float32 whole numbers times ``scale``.
    scale, bits
        Scales that broadcast against the array, and the bits of a number; ``None`` for an array that isn't quantised.
    """
    ways = [_plain(array)]
    if np.issubdtype(array.dtype, np.floating):
        ways.append(_sparse(array))
    if scale is not None and bits is not None:
        codes = np.rint(array / scale).astype(np.int64)
        if not np.array_equal((codes * scale).astype(array.dtype), array):
            raise ValueError("a quantised weight is no whole number times its scale")
        ways += [_rounded(array, codes, bits), _sparse_rounded(array, codes, bits)]
    return min(ways, key=lambda way: sum(part.nbytes for part in way[0].values()))


def decoded(parts: Mapping[str, np.ndarray], how: Mapping[str, Any], scale: np.ndarray | None) -> np.ndarray:
    """Return the array that :func:`encoded` was given, to the bit."""
    if how["as"] == "plain":
        return parts[""]
    shape, dtype = tuple(how["shape"]), np.dtype(how["dtype"])
    count = int(np.prod(shape))
    mask = mask_of(parts["mask"], count) if "mask" in parts else np.ones(count, np.bool_)
    if "bits" not in how:
        found = np.zeros(count, dtype)
        found[mask] = parts["values"]
        return found.reshape(shape)
    codes = np.zeros(count, np.int64)
    codes[mask] = unpacked(parts["codes"], how["bits"], int(mask.sum()))
    assert scale is not None, "a quantised weight has scales"
    whole: np.ndarray = (codes.reshape(shape) * scale).astype(dtype)
    return whole


def _plain(array: np.ndarray) -> tuple[Arrays, dict[str, Any]]:
    return {"": array}, {"as": "plain"}


def _like(array: np.ndarray) -> dict[str, Any]:
    return {"shape": list(array.shape), "dtype": array.dtype.name}


def _sparse(array: np.ndarray) -> tuple[Arrays, dict[str, Any]]:
    mask = array.reshape(-1) != 0
    return {"mask": mask_bytes(mask), "values": array.reshape(-1)[mask]}, {"as": "sparse", **_like(array)}


def _rounded(array: np.ndarray, codes: np.ndarray, bits: int) -> tuple[Arrays, dict[str, Any]]:
    return {"codes": packed(codes, bits)}, {"as": "rounded", "bits": bits, **_like(array)}


def _sparse_rounded(array: np.ndarray, codes: np.ndarray, bits: int) -> tuple[Arrays, dict[str, Any]]:
    mask = codes.reshape(-1) != 0
    parts = {"mask": mask_bytes(mask), "codes": packed(codes.reshape(-1)[mask], bits)}
    return parts, {"as": "sparse_rounded", "bits": bits, **_like(array)}
