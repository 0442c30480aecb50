"""``grid.compression`` — ways to make a trained model smaller: one compressor a step, and chains of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema, core_schema

from orchestrator.errors import BadInput
from orchestrator.spec.choices import Axis
from orchestrator.spec.compression_options import CHAIN_ORDER, CompressionOptions
from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.quantities import named
from orchestrator.spec.registries import COMPRESSORS
from orchestrator.spec.validation_errors import Complaint, refusal

_CHAIN = "chain"


@dataclass(frozen=True)
class ByMethod:
    """Annotation: a mapping that is read by the ``Options`` of the compressor that its ``method`` names."""

    chains: bool

    def methods(self) -> list[str]:
        """Return every name that may stand here, as messages list them."""
        return [*COMPRESSORS.listed(), *([_CHAIN] if self.chains else [])]

    def options_class(self, method: str) -> type[CompressionOptions]:
        """Return the class of a method's own YAML keys.

        Raises
        ------
        BadInput
            If the compressor can't be imported or has none.
        """
        if method == _CHAIN:
            return Chain
        options = getattr(COMPRESSORS.load(method), "Options", None)
        if not (isinstance(options, type) and issubclass(options, CompressionOptions)):
            raise BadInput(f"the compressor {method!r} has no Options that extend CompressionOptions; mend it")
        return options

    def read(self, value: Any) -> CompressionOptions:
        """Return what a mapping says, or raise what is wrong with it, at its own place."""
        if isinstance(value, CompressionOptions):
            return value
        if not isinstance(value, dict):
            raise refusal([Complaint((), f"expected a mapping such as `key: value`, not {named(value)}")])
        if "method" not in value:
            raise refusal([Complaint((), "the key 'method' is missing; add it")])
        method, known = value["method"], self.methods()
        if method not in known:
            hint = suggestion(method, known, "one of")
            raise refusal([Complaint(("method",), f"can't be {named(method)}; {hint}")])
        try:
            options = self.options_class(method)
        except BadInput as error:
            raise refusal([Complaint(("method",), str(error))]) from None
        return options.model_validate(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda options, info: options.model_dump(mode=info.mode), info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        variants = []
        for method in self.methods():
            variant = handler(self.options_class(method).__pydantic_core_schema__)
            handler.resolve_ref_schema(variant)["properties"]["method"] = {"const": method}
            variants.append(variant)
        return {"oneOf": variants}


class Chain(CompressionOptions):
    """Several compressions, one after the other."""

    method: Literal["chain"]
    steps: tuple[Annotated[CompressionOptions, ByMethod(chains=False)], ...] = Field(
        description="At least two compressions; no chain in a chain."
    )

    @model_validator(mode="after")
    def _one_last_recovery(self) -> Self:
        if self.recover is not None and self.steps[-1].recover is not None:
            raise ValueError("recover stands both at the chain and at its last step; keep one of the two")
        return self

    @model_validator(mode="after")
    def _in_an_order_that_keeps_what_was_won(self) -> Self:
        places = [*CHAIN_ORDER]
        for first, second in pairwise(self.steps):
            if places.index(first.changes) >= places.index(second.changes):
                raise ValueError(
                    f"{first.method} before {second.method} would be undone or done twice; the order is: "
                    f"{', '.join(CHAIN_ORDER.values())}{_counted_as(first, second)}"
                )
        return self

    @field_validator("steps")
    @classmethod
    def _several(cls, steps: tuple[CompressionOptions, ...]) -> tuple[CompressionOptions, ...]:
        if len(steps) < 2:
            raise ValueError(f"a chain of {len(steps)}; give at least two steps, or the one method without a chain")
        return steps


Compressions = Annotated[tuple[Annotated[CompressionOptions, ByMethod(chains=True)], ...], Axis()]


def chained(compression: CompressionOptions) -> tuple[CompressionOptions, ...]:
    """Return the steps of a compression; the recovery of a chain follows its last step."""
    if not isinstance(compression, Chain):
        return (compression,)
    *first, last = compression.steps
    if compression.recover is not None:
        last = last.model_copy(update={"recover": compression.recover})
    return (*first, last)


def label_of(compression: CompressionOptions) -> str:
    """Return what a compression does in a few words: ``prune 0.5 structured + 16 steps, quantize 4``."""
    return ", ".join(_step_label(step) for step in chained(compression))


def _step_label(step: CompressionOptions) -> str:
    words: list[str] = [step.method]
    skipped = {"method", "recover"}
    for name, value in step.model_dump(exclude=skipped, exclude_defaults=True).items():
        words.append(f"{value:g}" if isinstance(value, float) else name if value is True else str(value))
    if step.recover is not None:
        length = step.recover
        words.append(f"+ {length.steps} steps" if length.steps is not None else f"+ {length.epochs:g} epochs")
    return " ".join(words)


def students(compression: CompressionOptions) -> list[tuple[tuple[str | int, ...], int]]:
    """Return the students' sizes in a compression, each with its key path inside it."""
    if isinstance(compression, Chain):
        return [
            (("steps", i, *path), size) for i, step in enumerate(compression.steps) for path, size in students(step)
        ]
    key, size = compression.student_key, compression.student_size
    return [] if key is None or size is None else [((key,), size)]


def _counted_as(*steps: CompressionOptions) -> str:
    """Return where others' compressors stand in the order, which names ours alone."""
    others = [f"{step.method} counts as {CHAIN_ORDER[step.changes]}" for step in steps if _is_anothers(step)]
    return f" ({', '.join(others)})" if others else ""


def _is_anothers(step: CompressionOptions) -> bool:
    return step.method not in COMPRESSORS.builtin
