"""What a worker asks of a model family: the half that trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch

from orchestrator.planning.family import Family, ModelShape
from orchestrator.planning.manifest import DataManifest
from workers.protocols import Engine
from workers.training.objective import Objective


class TrainedFamily(Family, Protocol):
    """A family's planning half, which this one extends, with the engine that runs its stages.

    The planning half names it as ``training``, so that planning never imports it.
    """

    def engine(self) -> type[Engine]:
        """Return the engine class that trains this family."""


class TorchFamily(TrainedFamily, Protocol):
    """A family that :class:`workers.engine.TorchEngine` trains.

    Guarantees: the module has as many parameters as its shape says and costs its FLOPs within 2 %; its weights follow
    from torch's global generator alone, so that the same seed builds the same model everywhere.
    """

    def build(self, shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> torch.nn.Module:
        """Return the freshly initialised module, which maps a batch of inputs to logits whose last axis are classes."""

    def parameter_groups(
        self, module: torch.nn.Module, shape: ModelShape
    ) -> list[tuple[float, bool, list[torch.nn.Parameter]]]:
        """Return (learning-rate multiplier, takes weight decay, parameters), each parameter once."""


@runtime_checkable
class HasObjective(Protocol):
    """A family that may have a loss, scores or batches of its own."""

    def objective(self, options: Mapping[str, Any], data: DataManifest) -> Objective | None:
        """Return them, or ``None`` where it has none."""
