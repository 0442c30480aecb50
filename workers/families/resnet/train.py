"""Residual networks in training: the module, and which parameters decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from workers.engine import TorchEngine
from workers.families.resnet.module import ScaledResNet
from workers.families.resnet.plan import ResNet


class TrainedResNet(ResNet):
    """The half of :class:`~workers.families.resnet.plan.ResNet` that trains."""

    @staticmethod
    def build(shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> torch.nn.Module:
        """Return the freshly initialised module; its weights follow from torch's global generator alone."""
        dims = dict(shape.dims)
        return ScaledResNet(
            block=str(dims["block"]),
            stem=str(dims["stem"]),
            width=shape.dim("width"),
            blocks=shape.dim("blocks"),
            stages=shape.dim("stages"),
            channels=shape.dim("channels"),
            classes=shape.dim("classes"),
        )

    @staticmethod
    def parameter_groups(
        module: torch.nn.Module, shape: ModelShape
    ) -> list[tuple[float, bool, list[torch.nn.Parameter]]]:
        """Return (learning-rate multiplier, takes weight decay, parameters); BatchNorm and biases aren't decayed."""
        weights: list[torch.nn.Parameter] = []
        vectors: list[torch.nn.Parameter] = []
        for parameter in module.parameters():
            (weights if parameter.ndim > 1 else vectors).append(parameter)
        return [(1.0, True, weights), (1.0, False, vectors)]

    @staticmethod
    def engine() -> type[TorchEngine]:
        """Return the engine class that trains this family."""
        return TorchEngine
