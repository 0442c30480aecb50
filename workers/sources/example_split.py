"""Splits that give single examples, as torch's data sets do, made into batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workers.sources.indices import Indices


class ExampleSplit:
    """A split whose examples are asked for one by one.

    Parameters
    ----------
    examples
        Has a length, and gives the same example for an index each time.
    collate
        Makes a batch of a list of examples; ``None`` stacks them, part by part.
    """

    def __init__(self, examples: Any, collate: Callable[[list[Any]], Any] | None) -> None:
        self.examples, self._collate = examples, collate or stacked

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, indices: Indices) -> Any:
        """Return the batch of some examples."""
        return self._collate([self.examples[int(i)] for i in indices])


def batched(split: Any, collate: Callable[[list[Any]], Any] | None) -> Any:
    """Return a split that gives batches: itself, where it does."""
    return split if hasattr(split, "batch") else ExampleSplit(split, collate)


def stacked(examples: list[Any]) -> Any:
    """Return examples as one batch: arrays with an axis of examples in the structure that each example has."""
    first = examples[0]
    if isinstance(first, dict):
        return {key: stacked([example[key] for example in examples]) for key in first}
    if isinstance(first, tuple | list):
        return tuple(stacked(list(parts)) for parts in zip(*examples, strict=True))
    found = np.stack([np.asarray(example) for example in examples])
    if found.dtype == np.float64 and isinstance(first, float):
        return found.astype(np.float32)  # Python's numbers; an array keeps its type
    return found
