"""What a worker asks of a compressor: the half that compresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch

from orchestrator.planning.family import UnitGroup

if TYPE_CHECKING:
    from workers.training.loop import Loss


#: Makes an initialised model of the shape that comes out.
Fresh: TypeAlias = Callable[[], torch.nn.Module]


@dataclass(frozen=True)
class Parts:
    """What of a model may be compressed: names of weights, and groups of units."""

    weights: list[str]
    groups: list[UnitGroup]


class Session(Protocol):
    """One compression on its way: begun, perhaps trained on, finished.

    Attributes
    ----------
    module
        What is trained and in the end holds the compressed model.
    """

    module: torch.nn.Module

    @property
    def loss(self) -> Loss | None:
        """What training minimises; ``None``: the cross-entropy."""

    @property
    def after_step(self) -> Callable[[int], None] | None:
        """Puts right what an optimiser step has moved, if anything must be; steps count from 1."""

    def held(self) -> dict[str, np.ndarray]:
        """Return a copy of what the next step depends on beside the module and the optimiser: a pruning's masks.

        What follows from the model that the session began with needn't be here: a compression that is taken up in its
        middle is begun from that model again.
        """

    def hold(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up what `held` returned at the same step of an earlier attempt."""

    def finish(self) -> dict[str, Any]:
        """Leave ``module`` as it will be written; return JSON-able facts from which ``restructure`` works.

        Known keys are ``density`` and ``rank_ratio`` (measured), ``asked`` (a density), ``bits``, and ``quantized``
        (names of the weights held as integers times a scale, see :mod:`workers.serving.model_file`).
        """


class NothingHeld:
    """For sessions whose next step depends on the module and the optimiser alone."""

    def held(self) -> dict[str, np.ndarray]:
        """Return nothing."""
        return {}

    def hold(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up nothing."""


class TrainedCompressor(Protocol):
    """The half of a compressor that its planning half (:mod:`orchestrator.planning.compressor`) names as ``training``.

    Guarantees: the same module, options and seed give the same bits; a module that ``restructure`` has worked on takes
    the arrays of a finished one and scores the same loss.
    """

    def session(
        self,
        module: torch.nn.Module,
        options: Any,
        parts: Parts,
        steps: int,
        fresh: Fresh,
    ) -> Session:
        """Begin.

        Parameters
        ----------
        module
            The trained model; it is the session's to change.
        options
            The YAML's mapping, as the planning half's ``Options`` has read it.
        parts
            What of it may be compressed.
        steps
            Optimiser steps that will follow.
        fresh
            Makes an initialised model of the shape that comes out.
        """

    def restructure(self, module: torch.nn.Module, facts: dict[str, Any]) -> torch.nn.Module:
        """Return a freshly built module with the structure that ``facts`` tell of, of any values."""
