"""Seeds derived by hashing (I9): the only way in which randomness enters."""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

Part: TypeAlias = "str | int | float | bool | tuple[Part, ...] | None"


def derived_seed(*parts: Part) -> int:
    """Return a 64-bit seed for these parts, the same on every machine and in every version of numpy or torch.

    Parameters
    ----------
    parts
        What the randomness is for, such as ``(sweep seed, "dropout", stage id, step, rank)``. Their JSON is hashed,
        so parts of another type, number or grouping give another seed.
    """
    text = json.dumps(parts, separators=(",", ":"), allow_nan=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
