"""Masks that keep the largest weights; of equal ones the first, so that the result is the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def largest(weights: Mapping[str, torch.Tensor], density: float) -> dict[str, torch.Tensor]:
    """Return masks that keep a share of all weights together."""
    joined = torch.cat([weight.abs().flatten() for weight in weights.values()])
    mask = _kept(joined, round(density * joined.numel()))
    parts = mask.split([weight.numel() for weight in weights.values()])
    return {name: part.reshape(weight.shape) for (name, weight), part in zip(weights.items(), parts, strict=True)}


def largest_of_each(weights: Mapping[str, torch.Tensor], density: float) -> dict[str, torch.Tensor]:
    """Return masks that keep the same share of each weight."""
    return {
        name: _kept(weight.abs().flatten(), round(density * weight.numel())).reshape(weight.shape)
        for name, weight in weights.items()
    }


def largest_of_neighbours(weight: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """Return a mask that keeps n of every m neighbours along a weight's inputs (outputs, inputs, …), flattened."""
    groups = weight.abs().reshape(-1, m)
    order = groups.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(groups).scatter_(1, order[:, :n], 1.0).reshape(weight.shape)


def _kept(sizes: torch.Tensor, count: int) -> torch.Tensor:
    order = sizes.argsort(descending=True, stable=True)
    return torch.zeros_like(sizes).scatter_(0, order[:count], 1.0)
