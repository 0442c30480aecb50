"""Transformers in training: the module, and which parameters learn how fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from workers.engine import TorchEngine
from workers.families.transformer.module import ByteTransformer
from workers.families.transformer.plan import Transformer, TransformerOptions

#: Width at which ``learning_rate`` applies unscaled; hidden matrices take ``BASE_WIDTH / width`` times it.
BASE_WIDTH = 32


class TrainedTransformer(Transformer):
    """The half of :class:`~workers.families.transformer.plan.Transformer` that trains."""

    @staticmethod
    def build(shape: ModelShape, options: Mapping[str, Any], data: DataManifest) -> torch.nn.Module:
        """Return the freshly initialised module; its weights follow from torch's global generator alone."""
        return ByteTransformer(
            vocabulary=shape.dim("vocabulary"),
            context=shape.dim("context"),
            width=shape.dim("width"),
            depth=shape.dim("depth"),
            heads=shape.dim("heads"),
            dropout=TransformerOptions.model_validate(options).dropout,
            document_end=data.document_end,
        )

    @staticmethod
    def parameter_groups(
        module: torch.nn.Module, shape: ModelShape
    ) -> list[tuple[float, bool, list[torch.nn.Parameter]]]:
        """Return (learning-rate multiplier, takes weight decay, parameters) covering each parameter once.

        As in μP under Adam (Yang et al. 2022, arXiv 2203.03466, table 3), a hidden matrix takes base width / width
        times the rate. Embeddings, norms and the output head keep the base rate: scaling the head too raised the loss
        of the wider models here.
        """
        hidden: list[torch.nn.Parameter] = []
        head: list[torch.nn.Parameter] = []
        rest: list[torch.nn.Parameter] = []
        for name, parameter in module.named_parameters():
            if name.startswith("head."):
                head.append(parameter)
            else:
                (rest if parameter.ndim < 2 or "embedding" in name else hidden).append(parameter)
        return [(BASE_WIDTH / shape.dim("width"), True, hidden), (1.0, True, head), (1.0, False, rest)]

    @staticmethod
    def engine() -> type[TorchEngine]:
        """Return the engine class that trains this family."""
        return TorchEngine
