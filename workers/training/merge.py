"""Warmup-stable-merge: a cell's weights are the mean of snapshots in its last window (Tian et al. 2025, 2507.17634).

Each open window has a running sum in float64, added up in step order, which travels with the trunk's state; so a
window that was opened on a shared trunk ends with the bits of one that was opened alone. BatchNorm's running
statistics are averaged with the weights, since those of the trunk's end do not fit the mean of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.planning.recipe import Recipe

if TYPE_CHECKING:
    import torch

#: A running sum: arrays by the names of a module's state.
Sum = dict[str, np.ndarray]


class OpenWindows:
    """Running sums of the cells whose windows are open.

    Parameters
    ----------
    recipe
        Says at which steps a cell of a given length takes snapshots.
    lengths
        Total steps of the cells to keep a sum for.
    begun
        Sums so far, by length; they are copied.
    """

    def __init__(self, recipe: Recipe, lengths: tuple[int, ...], begun: Mapping[int, Mapping[str, np.ndarray]]) -> None:
        self.sums: dict[int, Sum] = {n: {k: np.array(v) for k, v in begun.get(n, {}).items()} for n in lengths}
        self._due: dict[int, list[int]] = {}
        for length in lengths:
            for step in recipe.snapshot_steps(length):
                self._due.setdefault(step, []).append(length)

    def due(self, steps_done: int) -> bool:
        """Return whether the state after so many steps is a snapshot of any window."""
        return steps_done in self._due

    def take(self, steps_done: int, module: torch.nn.Module) -> None:
        """Add the module's state to the windows in which it is a snapshot."""
        if not self.due(steps_done):
            return
        tensors = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
        # numpy has no bfloat16, so torch does the widening
        self.add(steps_done, {n: (t.double() if t.is_floating_point() else t).numpy() for n, t in tensors.items()})

    def add(self, steps_done: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Add arrays by name to the windows in which they are a snapshot; what is no float keeps its last value."""
        for name, array in arrays.items():
            floats = np.issubdtype(array.dtype, np.floating)
            counted = array.astype(np.float64) if floats else array.copy()
            for length in self._due.get(steps_done, ()):
                running = self.sums[length]
                running[name] = running[name] + counted if floats and name in running else counted


def merged(running: Mapping[str, np.ndarray], like: Mapping[str, np.ndarray], snapshots: int) -> dict[str, np.ndarray]:
    """Return the mean of the snapshots in the types of a model's state; counters keep their last value."""
    return {
        name: (running[name] / snapshots).astype(value.dtype)
        if np.issubdtype(value.dtype, np.floating)
        else running[name]
        for name, value in like.items()
    }
