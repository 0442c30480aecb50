"""The base of an optimizer of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from orchestrator.planning.recipe import Recipe

if TYPE_CHECKING:  # a plug-in may be described without torch
    import torch

    from workers.optimizers.groups import Groups


class Optimizer:
    """An optimizer: how it is built for a family's parameter groups.

    Guarantees that a subclass gives: its state are tensors, a fork copies them, and a run in two stages equals the run
    in one.
    """

    name: ClassVar[str]

    def build(self, groups: Groups, recipe: Recipe) -> torch.optim.Optimizer:
        """Return the optimizer; `workers.optimizers.groups.torch_groups` turns the groups into torch's.

        Parameters
        ----------
        groups
            (Learning-rate multiplier, takes weight decay, parameters) each.
        recipe
            Rate, momentum and so on, as ``train:`` has them.
        """
        raise NotImplementedError


def adapted(entry: Any, target: str) -> Any:
    """Return what builds an optimizer of an installed package: a function, or a class that derives from `Optimizer`."""
    return entry().build if isinstance(entry, type) and issubclass(entry, Optimizer) else entry
