"""Counts and times of the YAML with the most that can be meant, so that a slip is refused at its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from orchestrator.spec.choices import AutoOrPositiveCount
from orchestrator.spec.quantities import NonNegativeCount, NonNegativeReal, PositiveCount, PositiveReal, Real


@dataclass(frozen=True)
class AtMost:
    """Annotation: a number is no larger than ``most``; words such as ``auto`` pass.

    Parameters
    ----------
    why
        What a larger one would be: "more than any data set holds".
    """

    most: int | float
    why: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema["schema"])
        for number in found.get("anyOf", [found]):
            if number.get("type") in ("integer", "number"):
                number["maximum"] = self.most
        return found

    def _checked(self, value: Any) -> Any:
        if isinstance(value, int | float) and value > self.most:
            raise ValueError(f"must be at most {_shown(self.most)}: {_shown(value)} is {self.why}")
        return value


def _shown(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) and number < 10**9 else f"{number:.4g}"


_EXAMPLES = AtMost(10**13, "more than any data set holds")
_EPOCHS = AtMost(100_000, "more passes than anything is learned from")
_STEPS = AtMost(10**9, "more steps than any training takes")
_BATCH = AtMost(2**24, "more examples than a step can use")
_WORKERS = AtMost(100_000, "more actors than a Ray cluster holds")
_BYTES = AtMost(10**15, "more memory than any node has")
_SECONDS = AtMost(10**8, "longer than three years")

Examples = Annotated[PositiveCount, _EXAMPLES]
Params = Annotated[PositiveCount, AtMost(10**14, "larger than any model")]
Epochs = Annotated[PositiveCount, _EPOCHS]
PartEpochs = Annotated[PositiveReal, _EPOCHS]
Steps = Annotated[PositiveCount, _STEPS]
WarmupSteps = Annotated[NonNegativeCount, _STEPS]
BatchSize = Annotated[PositiveCount, _BATCH]
AutoOrBatchSize = Annotated[AutoOrPositiveCount, _BATCH]
Seeds = Annotated[PositiveCount, AtMost(1_000_000, "more repeats than there may be cells")]
Context = Annotated[PositiveCount, AtMost(10**7, "longer than any window that a model reads")]
Pixels = Annotated[PositiveCount, AtMost(8_192, "larger than any picture that a model is given")]
Shift = Annotated[NonNegativeCount, AtMost(8_192, "larger than any picture that a model is given")]
Classes = Annotated[PositiveCount, Field(ge=2), AtMost(1_000_000, "more labels than any data set has")]
Vocabulary = Annotated[PositiveCount, Field(ge=2), AtMost(2**24, "more tokens than any tokenizer has")]
Token = Annotated[NonNegativeCount, AtMost(2**24, "beyond any vocabulary")]
Channels = Annotated[PositiveCount, AtMost(4, "more than red, green, blue and alpha")]
Width = Annotated[PositiveCount, AtMost(65_536, "wider than any head")]
Workers = Annotated[NonNegativeCount, _WORKERS]
AutoOrWorkers = Annotated[AutoOrPositiveCount, _WORKERS]
Ranks = Annotated[PositiveCount, _WORKERS]
Cores = Annotated[PositiveCount, AtMost(512, "more threads than one model can use")]
Gpus = Annotated[NonNegativeReal, AtMost(128.0, "more than any node has")]
Bytes = Annotated[PositiveCount, _BYTES]
AutoOrBytes = Annotated[AutoOrPositiveCount, _BYTES]
Retries = Annotated[NonNegativeCount, AtMost(1_000, "more attempts than ever help")]
Seconds = Annotated[PositiveReal, _SECONDS]
SecondsOrNone = Annotated[NonNegativeReal, _SECONDS]
Replicas = Annotated[NonNegativeCount, AtMost(100_000, "more than an interval gains from")]
Price = Annotated[NonNegativeReal, AtMost(1e9, "more than an hour of any device costs")]
Exponent = Annotated[Real, Field(ge=-100.0), AtMost(100.0, "steeper than any law")]
Factor = Annotated[PositiveReal, AtMost(1e100, "beyond any loss")]
Level = Annotated[NonNegativeReal, AtMost(1e100, "beyond any loss")]
