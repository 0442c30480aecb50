"""Weights in 8, 4, 3 or 2 bits: whole numbers times a scale for each output channel, symmetric about zero.

With ``activations: int8`` the inputs of Linear layers are rounded too
(:mod:`~workers.compressors.quantize.int8_linear`).

The scale is the channel's largest magnitude over the largest whole number (Jacob et al. 2018, eq. 1, with zero point
0). Recovery is quantisation-aware training: the forward pass sees rounded weights, the gradient passes through the
rounding unchanged (straight-through estimator, Bengio et al. 2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from workers.compressors.layers import owner_of, present, replace_layer, weight_of
from workers.compressors.quantize.int8_linear import Int8Linear
from workers.compressors.quantize.plan import QuantizeOptions
from workers.compressors.quantize.rounding import StraightThrough, rounded, scale_like
from workers.compressors.session import Fresh, NothingHeld, Parts

if TYPE_CHECKING:
    from workers.training.loop import Loss

#: Suffix of the buffer that holds a weight's scales, float32 (outputs, 1, …).
SCALE = "_scale"


class Quantizer:
    """The half of :class:`~workers.compressors.quantize.plan.Quantize` that compresses."""

    @staticmethod
    def session(
        module: torch.nn.Module, options: QuantizeOptions, parts: Parts, steps: int, fresh: Fresh
    ) -> Quantizing:
        """Begin; with steps to come the weights are rounded in the forward pass alone."""
        weights = present(module, parts.weights)
        if options.activations == "int8":
            round_inputs(module, weights)
        return Quantizing(module, options, weights, steps)

    @staticmethod
    def restructure(module: torch.nn.Module, facts: dict[str, Any]) -> torch.nn.Module:
        """Return the module with a buffer for each weight's scales, and layers that round their inputs."""
        if facts.get("activations") == "int8":
            round_inputs(module, facts["quantized"])
        for name in facts["quantized"]:
            owner_of(module, name).register_buffer("weight" + SCALE, scale_like(module.get_parameter(name)))
        return module


class Quantizing(NothingHeld):
    """A quantisation on its way."""

    loss: Loss | None = None
    #: Nothing to put right: what is trained are the weights before rounding.
    after_step = None

    def __init__(self, module: torch.nn.Module, options: QuantizeOptions, weights: list[str], steps: int) -> None:
        self.module, self.bits, self.activations = module, options.bits, options.activations
        self.weights, self.trains = weights, steps > 0
        if self.trains:
            for name in self.weights:
                parametrize.register_parametrization(owner_of(module, name), "weight", StraightThrough(self.bits))

    def finish(self) -> dict[str, Any]:
        """Round; return bits and the names of the rounded weights."""
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
        return {"bits": self.bits, "quantized": self.weights, "activations": self.activations}


def round_inputs(module: torch.nn.Module, weights: list[str]) -> None:
    """Put layers that round their inputs in the place of the Linear ones among the owners of some weights."""
    for name in weights:
        layer = owner_of(module, name)
        if isinstance(layer, nn.Linear):
            replace_layer(module, name, Int8Linear.of(layer))
