"""Weights set to zero by their magnitude, in one go or step by step while training wins back what was lost.

Whole heads and channels (:mod:`~workers.compressors.prune.structured`); unstructured over the whole model or within
each layer (Han et al. 2015); or all but n of every m neighbours along a weight's inputs (Mishra et al. 2021).
``gradual`` raises the share of zeros over the recovery by the cubic schedule of Zhu and Gupta (2017, eq. 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workers.compressors.layers import present, weight_of
from workers.compressors.prune.magnitude import largest, largest_of_each, largest_of_neighbours
from workers.compressors.prune.plan import PruneOptions, n_of_m
from workers.compressors.prune.structured import StructuredPruning, restructured
from workers.compressors.session import Fresh, Parts, Session

if TYPE_CHECKING:
    from workers.training.loop import Loss

#: Part of a gradual recovery after which the density no longer falls.
GRADUAL_PART = 0.75


class Pruner:
    """The half of :class:`~workers.compressors.prune.plan.Prune` that compresses."""

    @staticmethod
    def session(module: torch.nn.Module, options: PruneOptions, parts: Parts, steps: int, fresh: Fresh) -> Session:
        """Begin; what is pruned stays zero through the recovery, or is gone."""
        if options.pattern == "structured":
            return StructuredPruning(module, options.kept, parts.groups, parts.weights)
        return Pruning(module, options, parts.weights, steps)

    @staticmethod
    def restructure(module: torch.nn.Module, facts: dict[str, Any]) -> torch.nn.Module:
        """Return the module with fewer units; zeros alone need no other structure."""
        return restructured(module, facts) if facts["pattern"] == "structured" else module


class Pruning:
    """A pruning on its way."""

    loss: Loss | None = None

    def __init__(self, module: torch.nn.Module, options: PruneOptions, weights: list[str], steps: int) -> None:
        self.module, self.options, self.steps = module, options, steps
        self.weights = present(module, weights)
        self._masks: dict[str, torch.Tensor] = {}
        self._prune(self._density(0))

    def after_step(self, step: int) -> None:
        """Set what was pruned to zero again, and prune more where that is due."""
        for name, mask in self._masks.items():
            weight_of(self.module, name).mul_(mask)
        if self.options.gradual and step <= self._last:
            self._prune(self._density(step))

    def held(self) -> dict[str, np.ndarray]:
        """Return the masks: which of equal weights were kept can't be told from the pruned ones."""
        return {name: mask.cpu().numpy().copy() for name, mask in self._masks.items()}

    def hold(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the masks up."""
        self._masks = {
            name: torch.from_numpy(np.array(array)).to(weight_of(self.module, name).device)
            for name, array in arrays.items()
        }

    def finish(self) -> dict[str, Any]:
        """Return the measured density."""
        weights = [weight_of(self.module, name) for name in self.weights]
        kept = sum(int(weight.count_nonzero()) for weight in weights)
        return {"density": kept / sum(weight.numel() for weight in weights), "pattern": self.options.pattern}

    @property
    def _last(self) -> int:
        return max(1, math.ceil(GRADUAL_PART * self.steps))

    def _density(self, step: int) -> float:
        goal = self.options.kept
        if not (self.options.gradual and self.steps):
            return goal
        return goal + (1 - goal) * (1 - min(1.0, step / self._last)) ** 3

    def _prune(self, density: float) -> None:
        weights = {name: weight_of(self.module, name) for name in self.weights}
        pattern = n_of_m(self.options.pattern)
        if pattern is not None:
            self._masks = {name: largest_of_neighbours(w, *pattern) for name, w in weights.items()}
        elif self.options.pattern == "per_layer":
            self._masks = largest_of_each(weights, density)
        else:
            self._masks = largest(weights, density)
        for name, mask in self._masks.items():
            weights[name].mul_(mask)
