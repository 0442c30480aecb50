"""Models that stay warm in a worker: built, wrapped and compiled once a shape, then filled with each stage's state."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from orchestrator.planning.family import ModelShape
from orchestrator.planning.recipe import Recipe
from orchestrator.planning.tree import Stage
from workers.rank import Rank
from workers.training.batches import Batch
from workers.training.loop import Model, cross_entropy, to_training
from workers.training.objective import WithLoss

OwnLoss = Callable[[torch.nn.Module, Any], torch.Tensor]
#: Models kept at a time.
MODELS_KEPT = 4
#: Compiled graphs that a process may make; one more is an error.
GRAPHS = 256


class WarmModels:
    """Models by shape.

    Guarantees: what a model was used for before changes no result, once a state is loaded into it. DDP orders its
    gradient buckets anew after its first backward pass, which from three ranks on changes the order of summation; so
    a wrapper makes one pass that counts for nothing before it is handed out (I3).

    Parameters
    ----------
    rank
        This process among those that train together.
    """

    def __init__(self, rank: Rank) -> None:
        self.rank = rank
        self._kept: OrderedDict[tuple[ModelShape, Recipe, str, str], Model] = OrderedDict()

    def get(
        self,
        stage: Stage,
        build: Callable[[Stage], torch.nn.Module],
        sample: Callable[[Recipe], Batch],
        loss: OwnLoss | None = None,
    ) -> Model:
        """Return the warm model of a stage's shape and recipe, with whatever values it was left with.

        Parameters
        ----------
        build
            Makes the module.
        sample
            Returns the inputs and targets of one rank's share of a batch, of any values.
        loss
            Of a family that has one of its own.
        """
        key = stage.shape, stage.recipe, stage.tuning.frozen if stage.tuning else "nothing", stage.data
        if key not in self._kept:
            self._kept[key] = self.wrapped(build(stage), stage.recipe, sample, loss)
            while len(self._kept) > MODELS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def forget(self) -> None:
        """Let all models go, where the device has no memory left."""
        self._kept.clear()

    def wrapped(
        self,
        module: torch.nn.Module,
        recipe: Recipe,
        sample: Callable[[Recipe], Batch],
        own: OwnLoss | None = None,
    ) -> Model:
        """Return a module with what compiles or wraps it; its parameters and buffers stay as they are."""
        forward: Any = module if own is None else WithLoss(module, own)
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
        if recipe.compile:
            forward = compiled(forward, recipe)
            if own is None and self.rank.world_size == 1 and next(module.parameters()).device.type == "cuda":
                loss = compiled(_WithLoss(module), recipe)
        if self.rank.world_size > 1:
            forward = DistributedDataParallel(forward, broadcast_buffers=False)
            batch = sample(recipe)
            before = {k: v.clone() for k, v in module.state_dict().items()}
            to_training(module)
            (forward(batch) if own is not None else cross_entropy(forward(batch[0]), batch[1])).backward()
            module.load_state_dict(before)
        return Model(module, forward, loss) if own is None else Model(module, module, own=forward)


class _WithLoss(torch.nn.Module):
    """A module and its cross-entropy in one graph: the logits of a batch needn't pass the device's memory in between.

    On the CPU the two stay apart, as rounding differs and rows were trained so.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(self.module(x), y)


def compiled(module: torch.nn.Module, recipe: Recipe) -> Any:
    """Return a module compiled as a recipe says.

    Dynamo counts graphs by code over all models of a process, and past its limit of 8 trains eagerly without an error;
    and a second batch size would make the graphs of later ones dynamic.
    """
    import torch._dynamo  # seconds to load, which what isn't compiled does without

    torch._dynamo.config.recompile_limit = GRAPHS  # an argument of torch.compile from 2.13 on, a setting before too
    torch._dynamo.config.accumulated_recompile_limit = GRAPHS
    mode = "reduce-overhead" if recipe.compile == "graphs" else None
    return torch.compile(module, dynamic=False, fullgraph=True, mode=mode)
