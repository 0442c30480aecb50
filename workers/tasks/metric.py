"""The seam behind which a kind of task stands, and what it may ask of a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

#: One question, as a line of a JSONL file has it.
Item = Mapping[str, Any]


class Asked(Protocol):
    """A language model that reads bytes."""

    def log_likelihoods(self, pairs: Sequence[tuple[bytes, bytes]]) -> list[float]:
        """Return the log-likelihood in nats of each continuation after its beginning."""

    def greedy(self, beginnings: Sequence[bytes], lengths: Sequence[int]) -> list[bytes]:
        """Return the likeliest continuation of each beginning, byte by byte, so many bytes long."""


class Metric:
    """A kind of task.

    Guarantees that a subclass gives: pure functions of model and items, which import no torch.
    """

    name: ClassVar[str]

    def wrong(self, item: Item) -> str | None:
        """Return what is wrong with an item, or ``None``; asked of each before anything is started."""
        raise NotImplementedError

    def score(self, model: Asked, items: Sequence[Item]) -> dict[str, float]:
        """Return scores by name, each over all items; ``bits_per_byte`` and ``accuracy`` mean the same in all kinds."""
        raise NotImplementedError

    def made_of(self, texts: Sequence[bytes]) -> list[Item]:
        """Return items made of pieces of held-back text, where a sweep gives no file.

        Raises
        ------
        NotImplementedError
            If the kind needs a file.
        """
        raise NotImplementedError


def lacks(item: Item, **kinds: type) -> str | None:
    """Return which of some keys an item lacks, or has as another kind of value."""
    for key, kind in kinds.items():
        if key not in item:
            return f"it has no {key!r}"
        if not isinstance(item[key], kind) or isinstance(item[key], bool):
            return f"{key!r} is {type(item[key]).__name__} and should be {kind.__name__}"
    return None
