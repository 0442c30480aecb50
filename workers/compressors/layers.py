"""Layers of a module by the names of their weights."""

from __future__ import annotations

import torch
from torch import nn


def owner_of(module: nn.Module, weight: str) -> nn.Module:
    """Return the layer whose parameter ``NAME.weight`` is."""
    return module.get_submodule(weight.rpartition(".")[0])


def weight_of(module: nn.Module, weight: str) -> torch.Tensor:
    """Return a weight's values, which may be written to."""
    return module.get_parameter(weight).detach()


def present(module: nn.Module, weights: list[str]) -> list[str]:
    """Return the compressible weights as they stand now: a factorised layer has two in the place of one."""
    there = {name for name, _ in module.named_parameters()}
    found = []
    for name in weights:
        layer = name.rpartition(".")[0]
        found += [n for n in (name, f"{layer}.0.weight", f"{layer}.1.weight") if n in there]
    return found


def replace_layer(module: nn.Module, weight: str, layer: nn.Module) -> None:
    """Put another layer in the place of the one with a given weight."""
    parent, _, name = weight.rpartition(".")[0].rpartition(".")
    setattr(module.get_submodule(parent), name, layer)
