"""What a conformance suite answers: broken promises, each as ``PROMISE: the first case in which it was broken``."""

from __future__ import annotations

from collections.abc import Iterable


def first_cases(sentences: Iterable[str]) -> list[str]:
    """Return the first sentence of each promise, in the order in which they were found."""
    first: dict[str, str] = {}
    for sentence in sentences:
        promise, _, _ = sentence.partition(": ")
        first.setdefault(promise, sentence)
    return list(first.values())
