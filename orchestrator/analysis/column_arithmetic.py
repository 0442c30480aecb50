"""Arithmetic of columns, as in ``n=params_m*1e6``: numbers, columns, + − * / ** and brackets, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray

#: A number, a column by its name or in quotes, an operator or a bracket.
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])|(?P<quoted>\"[^\"]+\"|`[^`]+`)"
    r"|(?P<name>[^\W\d][\w.]*)|(?P<sign>\*\*|[-+*/^()]))"
)
LONGEST: Final = 500
DEEPEST: Final = 50


@dataclass
class Arithmetic:
    """One expression over columns.

    Parameters
    ----------
    text
        As a person wrote it.
    column
        Returns a column by its name, shape (rows,); raises `BadInput` for one that isn't there.
    """

    text: str
    column: Callable[[str], FloatArray]
    _tokens: list[tuple[str, str]] = field(default_factory=list)
    _at: int = 0
    _depth: int = 0

    def value(self) -> FloatArray:
        """Return what the expression says, shape (rows,), or () where it names no column.

        Raises
        ------
        BadInput
            If it is no arithmetic of columns.
        """
        if len(self.text) > LONGEST:
            raise BadInput(f"`mapping`: an expression of {len(self.text)} characters is longer than {LONGEST}")
        self._tokens, self._at = list(self._read()), 0
        with np.errstate(all="ignore"):  # what is no number afterwards is refused with its row
            found = self._sum()
        if self._at < len(self._tokens):
            raise self._wrong(self._tokens[self._at][1])
        return np.asarray(found, dtype=np.float64)

    def _read(self) -> Iterator[tuple[str, str]]:
        at, text = 0, self.text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._wrong(text[at:].strip()[:20])
            kind = match.lastgroup or ""
            yield kind, match[kind]
            at = match.end()

    def _wrong(self, where: str) -> BadInput:
        return BadInput(
            f"`mapping` {self.text!r}: {where!r} is no arithmetic of columns: write numbers, columns (in double quotes "
            "where a name has spaces), + - * / ** and brackets"
        )

    def _next(self, *signs: str) -> str | None:
        """Take the next token where it is one of some signs."""
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "sign" and self._tokens[self._at][1] in signs:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None

    def _sum(self) -> FloatArray:
        found = self._product()
        while sign := self._next("+", "-"):
            other = self._product()
            found = found + other if sign == "+" else found - other
        return found

    def _product(self) -> FloatArray:
        found = self._signed()
        while sign := self._next("*", "/"):
            other = self._signed()
            found = found * other if sign == "*" else found / other
        return found

    def _signed(self) -> FloatArray:
        if self._next("-"):
            return -self._signed()
        if self._next("+"):
            return self._signed()
        found = self._atom()
        return found ** self._signed() if self._next("**", "^") else found

    def _atom(self) -> FloatArray:
        self._depth += 1
        if self._depth > DEEPEST * 10 or self._at >= len(self._tokens):
            raise self._wrong("the end")
        kind, text = self._tokens[self._at]
        if kind == "sign":
            if self._next("("):
                found = self._sum()
                if not self._next(")"):
                    raise self._wrong("a bracket that isn't closed")
                return found
            raise self._wrong(text)
        self._at += 1
        if kind == "number":
            return np.asarray(float(text.replace("_", "")))
        return self.column(text[1:-1] if kind == "quoted" else text)
