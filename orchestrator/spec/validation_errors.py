"""What is wrong with a value: pydantic's errors in plain words, and ours in pydantic's road."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.quantities import named
from orchestrator.spec.yaml.key_path import KeyPath

_OURS = "complaint"
_HINTS = 20


@dataclass(frozen=True)
class Complaint:
    """One thing wrong: where (relative to the value that is being checked), and a sentence with the likely fix."""

    location: KeyPath
    sentence: str


def unknown_keys(keys: Iterable[str], hint: Callable[[str], str]) -> list[Complaint]:
    """Return one complaint a key, with the likely fix for the first of them (more than ten are never shown)."""
    return [
        Complaint((key,), f"unknown key; {hint(key)}" if i < _HINTS else "unknown key") for i, key in enumerate(keys)
    ]


def refusal(complaints: Iterable[Complaint]) -> ValidationError:
    """Return the error with which a validator reports complaints at their own places."""
    return ValidationError.from_exception_data(
        "sweep",
        [
            InitErrorDetails(
                type=PydanticCustomError(_OURS, "{sentence}", {"sentence": c.sentence}), loc=c.location, input=None
            )
            for c in complaints
        ],
    )


def complaints_of(error: ValidationError) -> list[Complaint]:
    """Return what a validation found, in plain words."""
    errors = error.errors(include_url=False)
    return [Complaint(tuple(e["loc"]), _sentence(e)) for e in errors if not _miscounted(e["type"], e["loc"], errors)]


def _miscounted(kind: str, path: KeyPath, errors: Iterable[Any]) -> bool:
    """Whether a list seems too short because entries in it are wrong, which aren't counted."""
    return kind == "too_short" and any(len(e["loc"]) > len(path) and e["loc"][: len(path)] == path for e in errors)


def _sentence(error: Any) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == _OURS:
        return str(context["sentence"])
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return f"the key {error['loc'][-1]!r} is missing; add it"
    if kind in ("literal_error", "enum"):
        listed = re.findall(r"'([^']*)'|(\d+)", str(context["expected"]))
        return f"can't be {named(value)}; {suggestion(value, [word or number for word, number in listed], 'one of')}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {_number(context[bound])}, not {_number(value)}"
    if kind in _LENGTHS:
        words, bound = _LENGTHS[kind]
        return f"must have {words} {context[bound]} {'characters' if kind.startswith('string') else 'entries'}"
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}, not {named(value)}"
    if kind.startswith(("int_", "float_", "bool_", "string_")):
        return f"expected {_KINDS[kind.split('_')[0] + '_type']}, not {named(value)}"
    return f"{named(value)} doesn't fit here ({error['msg'].lower()})"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_LENGTHS = {
    "too_short": ("at least", "min_length"),
    "too_long": ("at most", "max_length"),
    "string_too_short": ("at least", "min_length"),
    "string_too_long": ("at most", "max_length"),
}
_KINDS = {
    "model_type": "a mapping such as `key: value`",
    "model_attributes_type": "a mapping such as `key: value`",
    "dict_type": "a mapping such as `key: value`",
    "list_type": "a list such as [a, b]",
    "tuple_type": "a list such as [a, b]",
    "string_type": "text (quotes make a value text)",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
}
