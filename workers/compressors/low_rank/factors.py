"""One layer → two thin ones."""

from __future__ import annotations

import torch
from torch import nn


def layers(layer: nn.Module, rank: int) -> nn.Sequential:
    """Return two layers of any values in the place of a Linear or a convolution.

    Raises
    ------
    TypeError
        If it is another layer, or a grouped convolution.
    """
    place = layer.weight.device if isinstance(layer.weight, torch.Tensor) else None
    if isinstance(layer, nn.Linear):
        return nn.Sequential(
            nn.Linear(layer.in_features, rank, bias=False, device=place),
            nn.Linear(rank, layer.out_features, bias=layer.bias is not None, device=place),
        )
    if isinstance(layer, nn.Conv2d) and layer.groups == 1:
        return nn.Sequential(
            nn.Conv2d(
                layer.in_channels,
                rank,
                layer.kernel_size,  # type: ignore[arg-type]
                stride=layer.stride,  # type: ignore[arg-type]
                padding=layer.padding,  # type: ignore[arg-type]
                dilation=layer.dilation,  # type: ignore[arg-type]
                bias=False,
                device=place,
            ),
            nn.Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None, device=place),
        )
    raise TypeError(f"a {type(layer).__name__} has no factors")


def factorised(layer: nn.Module, rank: int) -> nn.Sequential:
    """Return two layers that come as near to one as their rank allows; singular values are shared evenly."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    weight = layer.weight.detach()
    u, s, vh = torch.linalg.svd(weight.flatten(1).double(), full_matrices=False)
    root = s[:rank].sqrt()
    first, second = root[:, None] * vh[:rank], u[:, :rank] * root
    found = layers(layer, rank)
    values = {"0.weight": first, "1.weight": second} | ({} if layer.bias is None else {"1.bias": layer.bias})
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            parameter.copy_(values[name].reshape(parameter.shape))
    return found


def rank_for_energy(weight: torch.Tensor, energy: float) -> int:
    """Return the least rank that keeps a share of the squared singular values of a matrix."""
    squares = torch.linalg.svdvals(weight.double()).square().cumsum(0)
    return int((squares < energy * squares[-1]).sum()) + 1
