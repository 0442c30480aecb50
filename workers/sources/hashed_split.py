"""Who is trained on and who is held back, decided by hashes: the same on every machine, whatever the file order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from workers.sources.indices import Indices
from workers.sources.order import permutation

#: Part of every digest; to be raised when a rule below changes.
SPLIT_RULE = 1


def split_of(digest: bytes) -> str:
    """Return ``train``, ``val`` or ``test`` for a content hash: about 90, 5 and 5 percent of the contents."""
    remainder = int.from_bytes(digest, "big") % 20
    return {18: "val", 19: "test"}.get(remainder, "train")


def held_back(total: int, held: int, *, purpose: str) -> tuple[Indices, Indices]:
    """Return the ascending positions of ``total - held`` examples that stay and of ``held`` that are held back."""
    order = permutation(total, seed=0, purpose=purpose, epoch=0, examples=total)
    return np.sort(order[: total - held]), np.sort(order[total - held :])


def halves(names: Sequence[str]) -> tuple[Indices, Indices]:
    """Return the ascending positions of two halves of uniquely named examples, the first at most one larger."""
    ranked = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    middle = (len(names) + 1) // 2
    return np.array(sorted(ranked[:middle]), np.int64), np.array(sorted(ranked[middle:]), np.int64)
