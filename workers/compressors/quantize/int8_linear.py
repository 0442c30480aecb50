"""A Linear layer whose inputs are rounded to 8 bits too, each row scaled as it comes (dynamic quantisation).

Here the rounded numbers are held as floats, which any device multiplies and gradients pass through;
:mod:`workers.serving.int8_serving` puts the same numbers into integers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

#: Largest and least whole number of 8 bits.
MOST, LEAST = 127, -128
#: Scale of a row of zeros.
SMALLEST_SCALE = torch.finfo(torch.float32).eps


class Int8Linear(nn.Linear):
    """Takes the place of a Linear layer, with its very parameters."""

    @classmethod
    def of(cls, layer: nn.Linear) -> Int8Linear:
        """Return a layer around the weight and bias of another."""
        found = cls(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        found.weight, found.bias = layer.weight, layer.bias
        return found.train(layer.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's answer to rounded rows (…, in); the gradient passes through the rounding unchanged."""
        return F.linear(x + (_rounded(x.detach()) - x).detach(), self.weight, self.bias)


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """Return the nearest whole multiples of each row's scale, its largest magnitude over 127.5."""
    scale = (x.abs().amax(-1, keepdim=True) / ((MOST - LEAST) / 2)).clamp(min=SMALLEST_SCALE)
    return (x * (1.0 / scale)).round().clamp(LEAST, MOST) * scale
