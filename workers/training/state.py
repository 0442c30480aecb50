"""A model in training as plain numpy arrays: what a stage hands to its children.

Arrays are copied on the way in and on the way out. Ray's arrays are read-only memory of the object store, and an
optimiser that keeps them would write into the state that the next child starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class TrainState:
    """Everything that the next step depends on.

    Parameters
    ----------
    step
        Optimiser steps done in this phase.
    model
        Parameters and buffers by name.
    optimizer
        Optimiser arrays by ``parameter/key``; empty before the first step.
    sums
        Open ``wsm`` windows: float64 sums of snapshots by the length of their cell.
    wall_s
        Seconds of training so far, along the path from initialisation.
    phase
        What the steps belong to: pretraining, a fine-tuning, a compression.
    facts
        What compressions made of the model, one after the other: JSON-able, enough to rebuild its structure.
    reference
        Of a compressed model: scores, bytes and latency of the uncompressed one.
    done
        Whether the stage that left it has ended; else it was begun, and goes on after ``step``.
    origin
        Of a compression in its middle: the model that it began with, from which it is set up again.
    micro_batches
        Most parts in which a batch passed the device on the way here; more than 1 where its memory was too small.
    trained
        The last stage that took steps on the way to this one's beginning, or to its end where it is done: by it a
        cell's curve is found.
    curve
        Of a stage in its middle: what its recorder had, to go on from.
    """

    step: int
    model: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray] = field(default_factory=dict)
    sums: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    wall_s: float = 0.0
    phase: str = "pretrain"
    facts: tuple[dict[str, Any], ...] = ()
    reference: dict[str, float] = field(default_factory=dict)
    done: bool = True
    origin: dict[str, np.ndarray] = field(default_factory=dict)
    micro_batches: int = 1
    trained: str = ""
    curve: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Memory that its arrays take."""
        groups = (self.model, self.optimizer, self.origin, self.curve, *self.sums.values())
        return sum(array.nbytes for group in groups for array in group.values())


def save_state(
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    step: int,
    wall_s: float,
    sums: dict[int, dict[str, np.ndarray]],
    phase: str,
    done: bool,
    micro_batches: int = 1,
    trained: str = "",
    curve: dict[str, np.ndarray] | None = None,
) -> TrainState:
    """Return a copy of a model and its optimiser; the sums and the curve are handed over as they are."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    arrays = {}
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if value is not None:
                arrays[f"{names[id(parameter)]}/{key}"] = _array(value)
    return TrainState(
        step=step,
        model=arrays_of(module),
        optimizer=arrays,
        sums=sums,
        wall_s=wall_s,
        phase=phase,
        done=done,
        micro_batches=micro_batches,
        trained=trained,
        curve=curve or {},
    )


def arrays_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return a copy of a module's parameters and buffers."""
    return {k: _array(v) for k, v in module.state_dict().items()}


def load_model(state: TrainState, module: torch.nn.Module) -> None:
    """Copy a state's parameters and buffers into a module of the same shape."""
    load_arrays(state.model, module)


def load_arrays(arrays: Mapping[str, np.ndarray], module: torch.nn.Module) -> None:
    """Copy arrays into a module's parameters and buffers of the same names and shapes."""
    module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()})


def load_optimizer(state: TrainState, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Copy a state's optimiser arrays into an optimiser over the same module."""
    parameters = dict(module.named_parameters())
    for key, value in state.optimizer.items():
        name, _, entry = key.rpartition("/")
        parameter = parameters[name]
        device = torch.device("cpu") if entry == "step" and not _fused(optimizer) else parameter.device
        optimizer.state[parameter][entry] = torch.from_numpy(np.array(value)).to(device)


def _fused(optimizer: torch.optim.Optimizer) -> bool:
    return bool(optimizer.defaults.get("fused"))


def _array(value: torch.Tensor) -> np.ndarray:
    return value.detach().to("cpu", copy=True).contiguous().numpy()
