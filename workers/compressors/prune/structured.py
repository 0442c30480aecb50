"""Whole attention heads and channels taken out, so that what is left is a smaller dense model and really faster.

A unit's importance is the Euclidean norm of all weights that go with it (Li et al. 2017 for filters, Michel et al. 2019
for heads); each group keeps the same share of its units, at least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.planning.family import UnitGroup
from workers.compressors.prune.units import units_kept
from workers.compressors.session import NothingHeld

if TYPE_CHECKING:
    from workers.training.loop import Loss


class StructuredPruning(NothingHeld):
    """A model whose units are taken out; recovery trains what is left."""

    loss: Loss | None = None
    after_step = None

    def __init__(
        self, module: torch.nn.Module, density: float, groups: Sequence[UnitGroup], weights: Sequence[str]
    ) -> None:
        self.module, self.groups, self.asked = module, groups, density
        arrays = module.state_dict()
        total = sum(arrays[name].numel() for name in weights)
        self.kept = {}
        for group in groups:
            size = torch.zeros(group.units, dtype=torch.float64)
            for name, axis, outer in group.members:
                if arrays[name].ndim > 1:
                    size += by_unit(arrays[name].cpu(), axis, outer, group.units).double().square().sum((1, 2, 3))
            count = units_kept(group.units, density)
            chosen = size.argsort(descending=True, stable=True)[:count].sort().values
            self.kept[group.name] = count
            for name, axis, outer in group.members:
                there = module.state_dict()[name]
                parts = by_unit(there, axis, outer, group.units)[chosen.to(there.device)]
                resize(module, name, joined(parts, there.shape, axis))
            set_count(module, group, count)
        left = module.state_dict()
        self.density = sum(left[name].numel() for name in weights) / total

    def finish(self) -> dict[str, Any]:
        """Return the units left in each group and the share of weights left."""
        return {
            "pattern": "structured",
            "density": self.density,
            "asked": self.asked,
            "units": self.kept,
            "groups": [group.to_json() for group in self.groups],
        }


def restructured(module: torch.nn.Module, facts: dict[str, Any]) -> torch.nn.Module:
    """Return a freshly built module with as many units in each group as ``facts`` tell."""
    for document in facts["groups"]:
        group = UnitGroup.from_json(document)
        count = facts["units"][group.name]
        for name, axis, outer in group.members:
            there = module.state_dict()[name]
            resize(module, name, joined(by_unit(there, axis, outer, group.units)[:count], there.shape, axis))
        set_count(module, group, count)
    return module


def by_unit(array: torch.Tensor, axis: int, outer: int, units: int) -> torch.Tensor:
    """Return an array as (units, outer, inner, rest): along ``axis`` lie ``outer`` blocks of all units."""
    front = array.movedim(axis, 0)
    return front.reshape(outer, units, front.shape[0] // (outer * units), -1).transpose(0, 1)


def joined(parts: torch.Tensor, shape: torch.Size, axis: int) -> torch.Tensor:
    """Return the array of which :func:`by_unit` gave these units; ``shape`` is that of the whole one."""
    rest = [size for k, size in enumerate(shape) if k != axis]
    return parts.transpose(0, 1).reshape(-1, *rest).movedim(0, axis).contiguous()


def resize(module: torch.nn.Module, name: str, values: torch.Tensor) -> None:
    """Put values of another size in the place of a parameter or buffer, and tell its layer."""
    owner, _, last = name.rpartition(".")
    layer = module.get_submodule(owner)
    if last in layer._parameters:
        layer.register_parameter(last, torch.nn.Parameter(values.clone()))
    else:
        layer.register_buffer(last, values.clone())
    sizes = {torch.nn.Linear: ("out_features", "in_features"), torch.nn.Conv2d: ("out_channels", "in_channels")}
    for kind, (outputs, inputs) in sizes.items():
        if isinstance(layer, kind) and last == "weight":
            setattr(layer, outputs, values.shape[0])
            setattr(layer, inputs, values.shape[1])
    if isinstance(layer, torch.nn.BatchNorm2d):
        layer.num_features = values.shape[0]


def set_count(module: torch.nn.Module, group: UnitGroup, count: int) -> None:
    """Tell the module that counts a group's units how many there are."""
    if group.counted_by:
        owner, _, attribute = group.counted_by.rpartition(".")
        setattr(module.get_submodule(owner), attribute, count)
