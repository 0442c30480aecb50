"""What a plain YAML scalar means: the YAML 1.2 core schema without its surprises."""

from __future__ import annotations

import math
import re

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DIGITS = r"\d+(?:_\d+)*"
_INTEGER = re.compile(rf"[-+]?{_DIGITS}")
_LEADING_ZERO = re.compile(r"[-+]?0[\d_]+")
_FLOAT = re.compile(rf"[-+]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?\d+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 40

Scalar = str | int | float | bool | None


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted scalar.

    ``yes``, ``no``, ``on``, ``off``, ``1:30``, dates, ``0x1F`` and ``25k`` stay text; ``1e9`` and ``1_000`` are
    numbers (YAML 1.1 and PyYAML read several of these otherwise).

    Raises
    ------
    ValueError
        For NaN, infinities, floats beyond double precision, and ``010``, which YAML 1.1 reads as 8 and 1.2 as 10.
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER or text[0] not in "+-.0123456789":
        return text
    if _LEADING_ZERO.fullmatch(text):
        plain = text.replace("_", "").lstrip("+-").lstrip("0") or "0"
        raise ValueError(f"{text} has a leading zero, which some read as octal; write {plain}, or quote it as text")
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number; give one that is")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text} is too large for a number; the largest is about 1.8e308")
        return value
    return text
