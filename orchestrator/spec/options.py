"""The base of every mapping in the sweep YAML, plug-ins' own keys included."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.validation_errors import Complaint, complaints_of, refusal, unknown_keys


class Options(BaseModel):
    """A frozen mapping that refuses unknown keys, naming the nearest known one.

    A model family or data source declares its own YAML keys as a nested subclass named ``Options``; they stand
    beside ``family:`` or ``source:`` in the YAML and reach the plug-in as a plain dictionary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @classmethod
    def arranged(cls, value: dict[str, Any]) -> tuple[dict[str, Any], list[Complaint]]:
        """Return the mapping as the fields want it, and what is wrong with the keys that were gathered on the way."""
        return value, []

    @classmethod
    def hint(cls, key: str) -> str:
        """Return the likely fix for a key that isn't known here."""
        return suggestion(key, cls.model_fields, "known keys")

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_unknown_keys(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(value, dict):
            return handler(value)
        value, found = cls.arranged(value)
        fields = cls.model_fields
        found += unknown_keys([key for key in value if key not in fields], cls.hint)
        if not found:
            return handler(value)
        try:
            handler({key: given for key, given in value.items() if key in fields})
        except ValidationError as error:
            found += complaints_of(error)
        raise refusal(found)
