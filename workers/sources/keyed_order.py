"""An order of examples that takes no memory: a keyed permutation of their numbers, computed where it is asked for.

It promises what :class:`~workers.sources.order.Order` does, for sets whose permutation would not fit in memory.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from workers.derived_seed import derived_seed
from workers.sources.indices import Indices
from workers.sources.order import EpochOrder

#: Part of the digest of all data that is ordered so; to be raised when a line below changes an order.
KEYED_ORDER = 1
#: Passes of the network. With 12 the permutations of five things are not equally frequent (chi-square 5.8 standard
#: deviations off over 36,000 keys), with 24 they are.
ROUNDS = 24

Words = npt.NDArray[np.uint64]


class KeyedPermutation:
    """A permutation of 0 … n-1 that depends on n and the key alone, each value computed by itself.

    A Feistel network (Luby and Rackoff 1988) over the next power of two, whose halves may differ by a bit; what falls
    outside n is sent through it again until it falls inside (cycle walking, Black and Rogaway 2002), fewer than twice
    on average. It shuffles; it keeps no secrets.

    Parameters
    ----------
    n
        Length, at most 2⁶².
    key
        64 bits.
    """

    def __init__(self, n: int, key: int) -> None:
        self.n = n
        bits = max(2, (n - 1).bit_length())
        self._low = np.uint64(bits // 2)
        self._masks = np.uint64((1 << (bits - bits // 2)) - 1), np.uint64((1 << bits // 2) - 1)
        self._keys = np.array([derived_seed(key, "round", k) for k in range(ROUNDS)], np.uint64)

    def __call__(self, positions: Indices) -> Indices:
        """Return what stands at some positions, int64 of the same shape."""
        if self.n == 1:
            return np.zeros_like(positions)
        found = self._once(positions.astype(np.uint64))
        while len(outside := np.flatnonzero(found >= np.uint64(self.n))):
            found[outside] = self._once(found[outside])
        return found.astype(np.int64)

    def _once(self, x: Words) -> Words:
        high, low = x >> self._low, x & self._masks[1]
        for k in range(0, ROUNDS, 2):
            high ^= _mixed(low, self._keys[k]) & self._masks[0]
            low ^= _mixed(high, self._keys[k + 1]) & self._masks[1]
        return (high << self._low) | low


def _mixed(half: Words, key: np.uint64) -> Words:
    """Return the finaliser of SplitMix64 (Steele et al. 2014) of half plus key, modulo 2⁶⁴."""
    z = half + key
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


class KeyedOrder(EpochOrder):
    """As :class:`~workers.sources.order.Order`, in the memory of a few numbers, whatever the size of the set."""

    def __init__(self, train_examples: int, seed: int) -> None:
        super().__init__(train_examples)
        self._permutation = lru_cache(maxsize=8)(
            lambda epoch, n: KeyedPermutation(n, derived_seed(seed, "keyed order", epoch, n))
        )

    def at(self, stream_examples: int, epoch: int, start: int, stop: int) -> Indices:
        """Return the examples at positions of one epoch."""
        positions = np.arange(start, stop, dtype=np.int64)
        if epoch:
            positions = self._permutation(epoch, stream_examples)(positions)
        return self._permutation(0, self.train_examples)(positions)
