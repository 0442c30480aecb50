"""Numbers as people write sizes: ``6.3k``, ``125M``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_SUFFIXES: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, ""))
#: Above this a suffix no longer helps.
_LARGEST: Final = 1e15
_MOST_DIGITS: Final = 12


def short_number(value: float, digits: int = 3) -> str:
    """Return ``6.3k`` for 6300, with at most ``digits`` significant digits."""
    rounded = float(f"{value:.{digits}g}")
    if rounded < _LARGEST:
        for unit, suffix in _SUFFIXES:
            if rounded >= unit:
                return f"{rounded / unit:.{max(digits, 3)}g}{suffix}"
    return f"{value:.{digits}g}"


def short_numbers(values: Iterable[float]) -> list[str]:
    """Return a label for each value, with as many digits as tell different values apart (3 at least)."""
    listed = list(values)
    labels: list[str] = []
    for digits in range(3, _MOST_DIGITS + 1):
        labels = [short_number(value, digits) for value in listed]
        if len(set(labels)) == len(set(listed)):
            break
    return labels
