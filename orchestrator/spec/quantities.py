"""Numbers as people write them: ``25k``, ``125M``, ``10B``, ``1e9``, ``1_000``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from orchestrator.spec.yaml.key_path import quoted

_SUFFIX = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}
_PATTERN = r"([+-]?(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?) ?([kKMGBT]?)"
_NUMBER = re.compile(_PATTERN, re.ASCII)
_LONGEST_NUMBER = 40
_WANTED = "expected a number such as 25k, 125M or 1e9"


def parse_number(value: Any) -> float | int:
    """Return the number behind ``25k``, ``125M``, ``10B``, ``1e9``, ``1_000`` or a plain number.

    Text is read in decimal, so ``1.1k`` is exactly 1100; a whole result is an ``int``.

    Raises
    ------
    ValueError
        If the value is no finite number or carries an unknown suffix.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{_WANTED}, not {named(value)}")  # noqa: TRY004 (pydantic takes ValueError alone)
    number: float | int = _decimal(value) if isinstance(value, str) else value
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"must be a finite number, not {value}")
    return number


def _decimal(text: str) -> float | int:
    match = _NUMBER.fullmatch(text.strip()) if len(text) <= _LONGEST_NUMBER else None
    if not match:
        raise ValueError(f"{_WANTED}, not {quoted(text)}")
    exact = Decimal(match[1]) * _SUFFIX[match[2]]
    return int(exact) if exact.adjusted() < _LONGEST_NUMBER and exact == int(exact) else float(exact)


def parse_count(value: Any) -> int:
    """Return a whole number, written as :func:`parse_number` takes it and below 2⁶³.

    Raises
    ------
    ValueError
        If it is no number, not whole or too large.
    """
    number = parse_number(value)
    if number != int(number):
        raise ValueError(f"must be a whole number, not {value}")
    if abs(number) >= 2**63:
        raise ValueError(f"{quoted(value)} is too large; the largest is about 9.2e18")
    return int(number)


def parse_real(value: Any) -> float:
    """Return a real number, written as :func:`parse_number` takes it.

    Raises
    ------
    ValueError
        If it is no number or beyond double precision.
    """
    try:
        return float(parse_number(value))
    except OverflowError:
        raise ValueError(f"{quoted(value)} is too large; the largest is about 1.8e308") from None


def named(value: Any) -> str:
    """Return what a YAML value is, in words for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"the text {quoted(value)}" if isinstance(value, str) else f"the number {quoted(value)}"


@dataclass(frozen=True)
class Written:
    """Annotation: the value is read by ``parse`` first, and the JSON Schema takes text such as ``25k`` too."""

    parse: Callable[[Any], int | float]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.parse, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(schema["schema"]), {"type": "string", "pattern": f"^{_PATTERN}$"}]}


Count = Annotated[int, Written(parse_count)]
NonNegativeCount = Annotated[int, Field(ge=0), Written(parse_count)]
PositiveCount = Annotated[int, Field(ge=1), Written(parse_count)]
Real = Annotated[float, Written(parse_real)]
PositiveReal = Annotated[float, Field(gt=0), Written(parse_real)]
NonNegativeReal = Annotated[float, Field(ge=0), Written(parse_real)]
Fraction = Annotated[float, Field(gt=0, le=1), Written(parse_real)]
OpenFraction = Annotated[float, Field(gt=0, lt=1), Written(parse_real)]
