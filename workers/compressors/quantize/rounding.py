"""Rounding to few bits, symmetric, with a scale for each output channel."""

from __future__ import annotations

import torch
from torch import nn


def rounded(weight: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole numbers and scales with ``weight`` nearly their product.

    Parameters
    ----------
    weight
        float32 (outputs, …).
    bits
        The numbers lie in ±(2^(bits - 1) - 1).

    Returns
    -------
    codes, scale
        float32 like ``weight``, and float32 (outputs, 1, …); a channel of zeros has the scale 1.
    """
    most = 2 ** (bits - 1) - 1
    largest = weight.abs().flatten(1).amax(1).reshape(-1, *(1,) * (weight.ndim - 1))
    scale = torch.where(largest > 0, largest / most, 1.0)
    return (weight / scale).round().clamp(-most, most), scale


def scale_like(weight: torch.Tensor) -> torch.Tensor:
    """Return scales for a weight, all one."""
    return torch.ones(weight.shape[0], *(1,) * (weight.ndim - 1), device=weight.device)


class StraightThrough(nn.Module):
    """Parametrization of a weight that is rounded forwards and left alone backwards."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the rounded weight, with the gradient of the weight itself."""
        codes, scale = rounded(weight.detach(), self.bits)
        return weight + (codes * scale - weight).detach()
