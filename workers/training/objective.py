"""What a family has of its own in place of inputs, logits and cross-entropy: its loss, its scores, its batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Objective:
    """What is left out is as for every family.

    Parameters
    ----------
    loss
        Maps a module and a batch to what is minimised, the mean over the batch's examples.
    metrics
        Maps a module and a batch to more scores, each a mean over its examples.
    collate
        Makes a batch of single examples.
    """

    loss: Callable[[torch.nn.Module, Any], torch.Tensor] | None = None
    metrics: Callable[[torch.nn.Module, Any], Mapping[str, torch.Tensor | float]] | None = None
    collate: Callable[[list[Any]], Any] | None = None


class WithLoss(torch.nn.Module):
    """A module and a family's own loss as one, so that what wraps or compiles it sees all that the loss calls."""

    def __init__(self, module: torch.nn.Module, loss: Callable[[torch.nn.Module, Any], torch.Tensor]) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, batch: Any) -> torch.Tensor:
        """Return the loss of a batch."""
        return self.loss(self.module, batch)
