"""The half that trains of a family of a person's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from orchestrator.planning.family import ModelShape, UnitGroup
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.plugins.code import PluginCode
from orchestrator.spec.plugins.importing import import_plugin
from orchestrator.spec.plugins.kinds import plugins_in
from workers.engine import TorchEngine
from workers.families.own.family import Family
from workers.families.own.modules import built, groups_of, head_of, weights_of
from workers.training.objective import Objective


class TrainedFamily:
    """See `workers.families.trained.TorchFamily`.

    Parameters
    ----------
    family
        The person's class.
    code
        Where it stands, for messages.
    planned
        The half that plans, in a process that has it; a worker has none, and asks for no sizes.
    """

    simulated = False
    training = ""

    def __init__(self, family: type[Family], code: PluginCode, planned: Any = None) -> None:
        self.family, self.code, self._planned = family, code, planned
        self.name, self.Options, self.defaults = family.name, family.Options, family.defaults
        self.head = family.head
        self._weights: dict[ModelShape, list[tuple[str, tuple[int, ...]]]] = {}
        self._last: Family | None = None

    def shape_for(self, params: int, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """See the half that plans."""
        shape: ModelShape = self._planned.shape_for(params, options, data)
        return shape

    def shape_on(self, shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> ModelShape:
        """See the half that plans."""
        other: ModelShape = self._planned.shape_on(shape, options, data)
        return other

    def activation_bytes(self, shape: ModelShape, data: DataManifest, *, half: bool) -> int:
        """See the half that plans."""
        found: int = self._planned.activation_bytes(shape, data, half=half)
        return found

    def build(self, shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> torch.nn.Module:
        """Return the freshly initialised module.

        Raises
        ------
        RuntimeError
            If it has other parameters than were counted when the sweep was planned: the figures would be another
            model's.
        """
        family = self.family(options, data)
        module = built(family, dict(shape.dims))
        total = sum(parameter.numel() for parameter in module.parameters())
        if shape.params_total and total != shape.params_total:
            raise RuntimeError(
                f"{self.code.name}: build({dict(shape.dims)}) has {total:,} parameters here and had "
                f"{shape.params_total:,} when it was planned: does it depend on the machine, or on another package?"
            )
        self.head = head_of(family, module)
        self._weights[shape] = weights_of(family, module)
        self._last = family
        return module

    def objective(self, options: Mapping[str, Any], data: DataManifest) -> Objective | None:
        """Return the loss, the scores and the batches that the family has of its own; ``None`` where it has none."""
        family = self.family(options, data)
        if not any(family.gives(method) for method in ("loss", "metrics", "collate")):
            return None
        return Objective(
            loss=family.loss if family.gives("loss") else None,
            metrics=family.metrics if family.gives("metrics") else None,
            collate=family.collate if family.gives("collate") else None,
        )

    def parameter_groups(
        self, module: torch.nn.Module, shape: ModelShape
    ) -> list[tuple[float, bool, list[torch.nn.Parameter]]]:
        """Return the family's groups, or those that it gets by default."""
        assert self._last is not None, "a module was built before its parameters are grouped"
        return list(groups_of(self._last, module))

    def weights(self, shape: ModelShape) -> list[tuple[str, tuple[int, ...]]]:
        """Return what may be compressed of a shape that was built here."""
        return self._weights[shape]

    def unit_groups(self, shape: ModelShape) -> list[UnitGroup]:
        """Return none."""
        return []

    def engine(self) -> type[TorchEngine]:
        """Return the engine class that trains this family."""
        return TorchEngine


def trained(family: type[Family], code: PluginCode, planned: Any = None) -> Callable[[], TrainedFamily]:
    """Return what makes the half that trains."""
    return lambda: TrainedFamily(family, code, planned)


def trained_in(code: PluginCode, name: str, planned: Any) -> Callable[[], TrainedFamily]:
    """Return what makes the half that trains of a family in a file."""
    found = plugins_in(import_plugin(code), code)
    (family,) = (one.entry for one in found if one.name == name and issubclass(one.entry, Family))
    return trained(family, code, planned)
