"""A warning as a value: a sentence for people, with a code and numbers for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class Caution(str):
    """A sentence that knows what it is about.

    It is a string, so that it prints, compares and travels as JSON like any sentence; who wants to decide by it asks
    its ``code``, never its words.

    Parameters
    ----------
    sentence
        For people.
    code
        What it is about, in snake case; one of a kind says the same of every table.
    numbers
        The figures in it, by name.
    """

    code: str
    numbers: Mapping[str, float]

    def __new__(cls, sentence: str, code: str, **numbers: float) -> Caution:
        """Return the sentence with its code and numbers."""
        found = super().__new__(cls, sentence)
        found.code, found.numbers = code, numbers
        return found

    def __getnewargs_ex__(self) -> tuple[tuple[str, str], dict[str, float]]:
        """Return what copies and pickles are made from."""
        return (str(self), self.code), dict(self.numbers)

    def to_json(self) -> dict[str, Any]:
        """Return ``code``, ``sentence`` and ``numbers``."""
        return {"code": self.code, "sentence": str(self), "numbers": dict(self.numbers)}


def codes(warnings: Iterable[str]) -> set[str]:
    """Return the codes of those warnings that have one."""
    return {warning.code for warning in warnings if isinstance(warning, Caution)}


def cautions_json(warnings: Iterable[str]) -> list[dict[str, Any]]:
    """Return those warnings that have a code, as JSON-able dictionaries."""
    return [warning.to_json() for warning in warnings if isinstance(warning, Caution)]
