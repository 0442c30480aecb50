"""Batches of any structure: tensors or arrays in tuples, lists and dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """Return the same structure with each leaf changed."""
    if isinstance(value, Mapping):
        return {key: mapped(change, part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple takes its parts one by one
        return type(value)(*(mapped(change, part) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(mapped(change, part) for part in value)
    return change(value)


def leaves(value: Any) -> Iterator[Any]:
    """Yield what a structure holds, in its order."""
    if isinstance(value, Mapping):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def examples_in(batch: Any) -> int:
    """Return how many examples a batch holds: the length of the first leaf that has one."""
    return next(len(leaf) for leaf in leaves(batch) if getattr(leaf, "ndim", 0))


def parted(batch: Any, parts: int) -> list[Any]:
    """Return a batch in so many parts of about equal length; what has no examples' axis goes with each."""
    length = examples_in(batch)
    each = -(-length // parts)
    return [mapped(partial(_cut, length, slice(start, start + each)), batch) for start in range(0, length, each)]


def _cut(length: int, part: slice, leaf: Any) -> Any:
    return leaf[part] if getattr(leaf, "ndim", 0) and len(leaf) == length else leaf
