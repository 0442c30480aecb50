"""The base of a compressor's own keys in the YAML."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.options import Options
from orchestrator.spec.sections.recovery import Recovery

#: What compressions change, in the order in which a chain must do it, and which of ours does.
CHAIN_ORDER = {
    "model": "distill",
    "units": "prune structured",
    "factors": "low_rank",
    "zeros": "prune",
    "bits": "quantize",
}
Changes = Literal["model", "units", "factors", "zeros", "bits"]


class CompressionOptions(Options):
    """The YAML's mapping for one compression; a compressor declares its own keys as fields of a subclass.

    Two compressions of equal values are the same and have the same cell ids, so whatever changes a result is a field.
    """

    method: str = Field(description="Name of the compressor.")
    recover: Recovery | None = Field(default=None, description="Training afterwards, to win back what was lost.")

    #: Key that holds the non-embedding parameters of a new, smaller model; ``None``: the cell's own is compressed.
    student_key: ClassVar[str | None] = None

    @classmethod
    def hint(cls, key: str) -> str:
        """Return the likely fix for a key that isn't known here; the keys of all compressors come last."""
        own = [name for name in cls.model_fields if name not in ("method", "recover")]
        return suggestion(key, ["method", *own, "recover"], "known keys")

    @property
    def level(self) -> float | None:
        """How far it goes, as one number for tables: bits, a density, a size; ``None`` where there is none."""
        return None

    @property
    def changes(self) -> Changes:
        """What of a model it changes, which decides where in a chain it may stand (``CHAIN_ORDER``)."""
        return "zeros"

    @property
    def student_size(self) -> int | None:
        """Non-embedding parameters of the student that it trains, if any."""
        return None if self.student_key is None else int(getattr(self, self.student_key))
