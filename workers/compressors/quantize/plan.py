"""What is planned of ``{method: quantize}``: its keys, what it fits, what it leaves."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from orchestrator.errors import BadInput
from orchestrator.planning.family import Family, ModelShape
from orchestrator.spec.compression_options import Changes, CompressionOptions
from orchestrator.spec.quantities import Count

_BITS = (2, 3, 4, 8)
#: Bits of a weight before.
FULL_BITS = 32


class QuantizeOptions(CompressionOptions):
    """Weights in fewer bits."""

    bits: Count = Field(description="Bits a weight: 2, 3, 4 or 8.", json_schema_extra={"enum": [*_BITS]})
    activations: Literal["float", "int8"] = Field(
        default="float", description="int8: activations too, each row scaled as it comes; with 8 bits only."
    )

    @property
    def level(self) -> float:
        """Bits a weight."""
        return float(self.bits)

    @property
    def changes(self) -> Changes:
        """The bits of what is left by all others."""
        return "bits"

    @model_validator(mode="after")
    def _dynamic_has_8_bits(self) -> Self:
        if self.activations == "int8" and self.bits != 8:
            raise ValueError(f"activations: int8 needs bits: 8, not {self.bits}; leave activations out")
        return self

    @field_validator("bits")
    @classmethod
    def _known_width(cls, bits: int) -> int:
        if bits not in _BITS:
            raise ValueError(f"can't be {bits}; one of: {', '.join(map(str, _BITS))}")
        return bits


class Quantize:
    """Quantisation of weights per output channel, and where asked for of what they are multiplied with."""

    Options = QuantizeOptions
    training = "workers.compressors.quantize.train:Quantizer"

    @staticmethod
    def check(options: QuantizeOptions, shape: ModelShape, family: Family) -> list[str]:
        """Accept any shape for weights, as every one can be rounded.

        Raises
        ------
        BadInput
            If activations are to be rounded where no weight is a matrix.
        """
        if options.activations == "int8" and not any(len(size) == 2 for _, size in family.weights(shape)):
            raise BadInput(
                f"activations: int8 rounds the inputs of Linear layers, and what is compressed of a {shape.family} "
                "are convolutions; leave activations out"
            )
        return []

    @staticmethod
    def kept_share(options: QuantizeOptions, before: ModelShape, after: ModelShape) -> float:
        """Return the bits that are left of each weight's."""
        return options.bits / FULL_BITS
