"""The order in which examples are trained on (I3): a fixed permutation whose prefix is the D-fraction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict

import numpy as np

from workers.derived_seed import derived_seed
from workers.sources.indices import Indices

#: Permutations of later epochs kept at a time: a batch may straddle two epochs.
EPOCHS_KEPT = 2


def permutation(n: int, *, seed: int, purpose: str, epoch: int, examples: int) -> Indices:
    """Return a permutation of 0 … n-1 that depends on the arguments alone.

    It ranks Philox's raw 64-bit words, whose stream numpy promises never to change (NEP 19), while
    ``Generator.permutation`` may differ from one numpy to the next.

    Parameters
    ----------
    n
        Length.
    seed, purpose, epoch, examples
        What the randomness is derived from.
    """
    words = np.random.Philox(derived_seed(seed, purpose, epoch, examples)).random_raw(n)
    return np.argsort(words, kind="stable").astype(np.int64, copy=False)


class EpochOrder(ABC):
    """The example at each position of a stream that passes one or more times over a prefix of the train split.

    Epoch 0 over the first D examples is a prefix of the same permutation for every D, so runs that differ in D alone
    share their beginning. Each later epoch is a permutation of that prefix derived from (seed, D, epoch).

    Parameters
    ----------
    train_examples
        Examples in the train split.
    """

    def __init__(self, train_examples: int) -> None:
        self.train_examples = train_examples

    @abstractmethod
    def at(self, stream_examples: int, epoch: int, start: int, stop: int) -> Indices:
        """Return the examples at positions ``start`` … ``stop - 1`` of one epoch over ``stream_examples``, int64."""

    def indices(self, stream_examples: int, start: int, stop: int) -> Indices:
        """Return the examples at positions ``start`` … ``stop - 1``, int64 (stop - start,).

        Parameters
        ----------
        stream_examples
            D: how many examples an epoch passes over.
        start, stop
            Positions counted in examples from the beginning of training, over all epochs.

        Raises
        ------
        ValueError
            If D isn't between 1 and ``train_examples``, or the positions don't ascend from 0.
        """
        if not 1 <= stream_examples <= self.train_examples or not 0 <= start <= stop:
            raise ValueError(f"no positions {start}..{stop} over {stream_examples} of {self.train_examples} examples")
        parts = []
        while start < stop:
            epoch, offset = divmod(start, stream_examples)
            taken = min(stop - start, stream_examples - offset)
            parts.append(self.at(stream_examples, epoch, offset, offset + taken))
            start += taken
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


class Order(EpochOrder):
    """The order of sets whose permutation fits in memory.

    Parameters
    ----------
    seed
        The cell's seed.
    """

    def __init__(self, train_examples: int, seed: int) -> None:
        super().__init__(train_examples)
        self.seed = seed
        self._first = permutation(train_examples, seed=seed, purpose="order", epoch=0, examples=train_examples)
        self._later: OrderedDict[tuple[int, int], Indices] = OrderedDict()

    def at(self, stream_examples: int, epoch: int, start: int, stop: int) -> Indices:
        """Return the examples at positions of one epoch."""
        return self._epoch(stream_examples, epoch)[start:stop]

    def _epoch(self, stream_examples: int, epoch: int) -> Indices:
        if epoch == 0:
            return self._first
        key = stream_examples, epoch
        if key not in self._later:
            again = permutation(stream_examples, seed=self.seed, purpose="order", epoch=epoch, examples=stream_examples)
            self._later[key] = self._first[again]
            while len(self._later) > EPOCHS_KEPT:
                self._later.popitem(last=False)
        return self._later[key]
