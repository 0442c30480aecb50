"""Weights in 8, 4, 3 or 2 bits: whole numbers times a scale for each output channel, symmetric about zero.

The scale is the channel's largest magnitude over the largest whole number (Jacob et al. 2018, eq. 1, with zero point
0). Recovery is quantisation-aware training: the forward pass sees rounded weights, the gradient passes through the
rounding unchanged (straight-through estimator, Bengio et al. 2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.errors import BadInput
from orchestrator.planning.family import Family, ModelShape
from workers.compressors.compressor import Fresh, Parts

if TYPE_CHECKING:
    import torch

    from workers.training.loop import Loss

#: Suffix of the buffer that holds a weight's scales, float32 (outputs, 1, …).
SCALE = "_scale"


class Quantizer:
    """Weight-only quantisation per output channel."""

    @staticmethod
    def check(options: Any, shape: ModelShape, family: Family) -> None:
        """Accept any shape, as every weight can be rounded, but weights alone.

        Raises
        ------
        BadInput
            If activations are to be rounded too.
        """
        if options.activations != "float":
            raise BadInput("activations: int8 isn't there yet, weights alone are rounded; leave it out")

    @staticmethod
    def session(module: torch.nn.Module, options: Any, parts: Parts, steps: int, fresh: Fresh) -> Quantizing:
        """Begin; with steps to come the weights are rounded in the forward pass alone."""
        return Quantizing(module, options, parts.weights, steps)

    @staticmethod
    def restructure(module: torch.nn.Module, facts: dict[str, Any]) -> torch.nn.Module:
        """Return the module with a buffer for each weight's scales."""
        from workers.compressors.layers import owner_of
        from workers.compressors.rounding import scale_like

        for name in facts["quantized"]:
            owner_of(module, name).register_buffer("weight" + SCALE, scale_like(module.get_parameter(name)))
        return module


class Quantizing:
    """A quantisation on its way."""

    loss: Loss | None = None

    def __init__(self, module: torch.nn.Module, options: Any, weights: list[str], steps: int) -> None:
        from torch.nn.utils import parametrize

        from workers.compressors.layers import owner_of, present
        from workers.compressors.rounding import StraightThrough

        self.module, self.bits, self.trains = module, options.bits, steps > 0
        self.weights = present(module, weights)
        if self.trains:
            for name in self.weights:
                parametrize.register_parametrization(owner_of(module, name), "weight", StraightThrough(self.bits))

    def after_step(self, step: int) -> None:
        """Do nothing: what is trained are the weights before rounding."""

    def finish(self) -> dict[str, Any]:
        """Round; return bits and the names of the rounded weights."""
        import torch
        from torch.nn.utils import parametrize

        from workers.compressors.layers import owner_of, weight_of
        from workers.compressors.rounding import rounded

        for name in self.weights:
            owner = owner_of(self.module, name)
            if self.trains:
                with torch.no_grad():
                    original = owner.parametrizations["weight"].original.detach().clone()  # type: ignore[index, union-attr]
                parametrize.remove_parametrizations(owner, "weight", leave_parametrized=True)
                weight_of(self.module, name).copy_(original)
            weight = weight_of(self.module, name)
            codes, scale = rounded(weight, self.bits)
            weight.copy_(codes * scale)
            owner.register_buffer("weight" + SCALE, scale)
        return {"bits": self.bits, "quantized": self.weights}
