"""Models that stay warm in a worker: built, wrapped and compiled once a shape, then filled with each stage's state."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch.nn.parallel import DistributedDataParallel

from orchestrator.planning.family import ModelShape
from workers.rank import Rank
from workers.training.loop import Model, cross_entropy

#: Shapes kept at a time.
SHAPES_KEPT = 4


class WarmModels:
    """Models by shape.

    Guarantees: what a model was used for before changes no result, once a state is loaded into it. DDP orders its
    gradient buckets anew after its first backward pass, which from three ranks on changes the order of summation; so
    a wrapper makes one pass that counts for nothing before it is handed out (I3).

    Parameters
    ----------
    rank
        This process among those that train together.
    compiled
        Whether to compile.
    sample
        Returns the inputs and targets of one rank's share of a batch, of any values.
    """

    def __init__(self, rank: Rank, *, compiled: bool, sample: Callable[[], tuple[torch.Tensor, torch.Tensor]]) -> None:
        self.rank, self.compiled, self.sample = rank, compiled, sample
        self._kept: OrderedDict[ModelShape, Model] = OrderedDict()

    def get(self, shape: ModelShape, build: Callable[[], torch.nn.Module]) -> Model:
        """Return the warm model of a shape, with whatever values it was left with."""
        if shape not in self._kept:
            self._kept[shape] = self._warmed(build())
            while len(self._kept) > SHAPES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(shape)
        return self._kept[shape]

    def _warmed(self, module: torch.nn.Module) -> Model:
        forward: Callable[[torch.Tensor], torch.Tensor] = module
        if self.compiled:
            forward = torch.compile(module)
        if self.rank.world_size > 1:
            assert isinstance(forward, torch.nn.Module)
            forward = DistributedDataParallel(forward, broadcast_buffers=False)
            x, y = self.sample()
            module.train()
            cross_entropy(forward(x), y).backward()
        return Model(module, forward)
