"""Annotations for values that may also be a word, and for the axes of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.quantities import NonNegativeReal, OpenFraction, PositiveCount, PositiveReal, named
from orchestrator.spec.validation_errors import Complaint, refusal
from orchestrator.spec.yaml.key_path import quoted


@dataclass(frozen=True)
class OrWord:
    """Annotation: one of ``words``, or else a number of the type ``otherwise``.

    A plain union would answer with one error for each of its members; this answers with one.
    """

    words: tuple[str, ...]
    otherwise: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def choose(value: Any, number: ValidatorFunctionWrapHandler) -> Any:
            if isinstance(value, str) and not any(c.isdigit() for c in value):
                if value in self.words:
                    return value
                hint = suggestion(value, (*self.words, "a number"), "one of")
                raise refusal([Complaint((), f"can't be {named(value)}; {hint}")])
            return number(value)

        return core_schema.no_info_wrap_validator_function(
            choose,
            handler.generate_schema(self.otherwise),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.words)}, handler(schema["schema"])]}


AutoOrPositiveReal = Annotated[Literal["auto"] | float, OrWord(("auto",), PositiveReal)]
AutoOrNonNegativeReal = Annotated[Literal["auto"] | float, OrWord(("auto",), NonNegativeReal)]
AutoOrPositiveCount = Annotated[Literal["auto"] | int, OrWord(("auto",), PositiveCount)]
HoldOut = Annotated[Literal["largest", "none"] | float, OrWord(("largest", "none"), OpenFraction)]


@dataclass(frozen=True)
class Axis:
    """Annotation of a ``tuple[X, ...]``: distinct points, at least one; the YAML may give one point without a list."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_points, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        listed = handler(schema["schema"])
        return {"anyOf": [listed["items"], {**listed, "minItems": 1}]}


def _points(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    given = list(value) if isinstance(value, (list, tuple)) else [value]
    if not given or value is None:
        raise refusal([Complaint((), "is empty; give at least one value, or leave the key out")])
    points = validate(given)
    first: dict[Any, int] = {}
    repeated = []
    for i, point in enumerate(points):
        if point in first:
            repeated.append(
                Complaint((i,), f"{_brief(given[i])} repeats entry [{first[point]}]; remove one of the two")
            )
        first.setdefault(point, i)
    if repeated:
        raise refusal(repeated)
    return points


def _brief(value: Any) -> str:
    return "this" if isinstance(value, (dict, list)) else quoted(value)
