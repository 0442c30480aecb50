"""The engine that all trained families use: runs stages with torch."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as to_safetensors

from orchestrator.planning.context import TRAIN_SCORE_EXAMPLES, RunContext
from orchestrator.planning.family import ModelShape
from orchestrator.planning.recipe import Recipe
from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import FAMILIES, OPTIMIZERS, SOURCES
from workers.derived_seed import derived_seed
from workers.keeper import Keeper
from workers.rank import ALONE, Rank
from workers.sources.order import Order
from workers.sources.source import Dataset
from workers.training.checkpoint import from_bytes, to_bytes
from workers.training.feed import Batch, Feed, Pick, training_picks
from workers.training.fused import train_fused
from workers.training.fusing import fusable, fusing_pays
from workers.training.loop import Diverged, train_steps
from workers.training.merge import OpenWindows, merged
from workers.training.score import class_scores, score
from workers.training.state import TrainState, load_model, load_optimizer, save_state
from workers.training.warm import WarmModels


class TorchEngine:
    """Trains and scores ``torch.nn.Module`` families."""

    def __init__(self, context: RunContext, rank: Rank = ALONE, *, on_gpu: bool = False) -> None:
        self.context, self.rank = context, rank
        self.family = FAMILIES.load(context.family)()
        self.device = torch.device("cuda" if on_gpu else "cpu")
        self.device_kind = torch.cuda.get_device_name() if on_gpu else "cpu"
        self.feeds = {name: Feed(split, self.device) for name, split in self._load().splits.items()}
        self.warm = WarmModels(rank)
        self._orders: dict[int, Order] = {}
        self._fusing: dict[tuple[ModelShape, Recipe, int], bool] = {}

    def _load(self) -> Dataset:
        context = self.context
        tokens = context.manifest.tokens_per_example
        data: Dataset = SOURCES.load(context.source)().load(context.data_options, context=tokens or 64)
        if data.manifest.digest != context.manifest.digest:
            raise RuntimeError(
                f"the data of {context.source} on this node differs from what was planned "
                f"(digest {data.manifest.digest[:12]}, planned {context.manifest.digest[:12]})"
            )
        return data

    def _sample(self, recipe: Recipe) -> Batch:
        """Return a rank's share of a batch, of no meaning."""
        share = self.rank.share(recipe.batch_size)
        pick = Pick(np.zeros(share.stop - share.start, np.int64))
        return next(iter(self.feeds["train"].batches([pick])))

    def order(self, seed: int) -> Order:
        """Return the data order of a seed."""
        if seed not in self._orders:
            self._orders[seed] = Order(self.context.manifest.train_examples, seed)
        return self._orders[seed]

    def build(self, stage: Stage) -> torch.nn.Module:
        """Return the initialised model of a stage."""
        torch.manual_seed(derived_seed(stage.seed, "init", *stage.shape.dims))
        module: torch.nn.Module = self.family.build(stage.shape, self.context.model_options, self.context.manifest)
        return module.to(self.device)

    def train(self, stage: Stage, parent: TrainState | None, keeper: Keeper | None = None) -> TrainState:
        """Return the state after the stage's steps, or the merged one of a ``merge`` stage."""
        if stage.kind == "merge":
            return self._merge(stage, parent)
        begun = time.perf_counter()
        recipe = stage.recipe
        model = self.warm.get(stage, self.build, self._sample)
        module = model.module
        optimizer = self._start(stage, parent, module)
        windows = OpenWindows(recipe, stage.windows if self.rank.leads else (), parent.sums if parent else {})

        def state(step: int) -> TrainState:
            spent_s = time.perf_counter() - begun + (parent.wall_s if parent else 0.0)
            return save_state(module, optimizer, step=step, wall_s=spent_s, sums=windows.sums)

        def after_step(step: int) -> None:
            if keeper is not None and keeper.due and step < stage.stop_step:
                keeper.keep(stage, state(step))

        train_steps(
            model,
            optimizer,
            self.feeds["train"],
            self.order(stage.seed),
            stage,
            start=parent.step if parent else 0,
            rank=self.rank,
            windows=windows,
            after_step=after_step,
        )
        return state(stage.stop_step)

    def pack(self, state: TrainState) -> bytes:
        """Return a state as one safetensors file."""
        return to_bytes(state)

    def unpack(self, data: bytes) -> TrainState:
        """Return the state in a safetensors file."""
        return from_bytes(data)

    def _start(self, stage: Stage, parent: TrainState | None, module: torch.nn.Module) -> torch.optim.Optimizer:
        """Fill a module with the state from which a stage goes on; return its optimiser in that state."""
        recipe = stage.recipe
        optimizer: torch.optim.Optimizer = OPTIMIZERS.load(recipe.optimizer)(
            self.family.parameter_groups(module, stage.shape), recipe
        )
        if parent is not None:
            load_model(parent, module)
            load_optimizer(parent, module, optimizer)
        else:
            module.load_state_dict(self.build(stage).state_dict())
        return optimizer

    def train_together(
        self, stages: Sequence[Stage], parents: Sequence[TrainState | None]
    ) -> list[TrainState | ArithmeticError]:
        """Return the states after stages of other seeds; the seconds of each are its share."""
        begun = time.perf_counter()
        recipe, first = stages[0].recipe, stages[0]
        modules = [self.build(stage) for stage in stages]
        optimizers = [self._start(*each) for each in zip(stages, parents, modules, strict=True)]
        if not self._fuses(first, modules, optimizers):
            return [self._caught(stage, parent) for stage, parent in zip(stages, parents, strict=True)]
        windows = [
            OpenWindows(recipe, stage.windows, parent.sums if parent else {})
            for stage, parent in zip(stages, parents, strict=True)
        ]
        feed, mine = self.feeds["train"], self.rank.share(recipe.batch_size)
        finite = train_fused(
            modules,
            optimizers,
            [feed.batches(training_picks(self.order(s.seed), s, start=s.start_step, mine=mine)) for s in stages],
            recipe,
            start=first.start_step,
            stop=first.stop_step,
            total_steps=first.total_steps,
            windows=windows,
            after_step=lambda step: None,
        )
        share_s = (time.perf_counter() - begun) / len(stages)
        return [
            save_state(
                module,
                optimizer,
                step=first.stop_step,
                wall_s=share_s + (parent.wall_s if parent else 0.0),
                sums=window.sums,
            )
            if fine
            else Diverged.after(first.stop_step)
            for module, optimizer, parent, window, fine in zip(
                modules, optimizers, parents, windows, finite, strict=True
            )
        ]

    def _fuses(
        self, stage: Stage, modules: Sequence[torch.nn.Module], optimizers: Sequence[torch.optim.Optimizer]
    ) -> bool:
        """Return whether so many models of a shape can train as one and that pays; probed once."""
        key = stage.shape, stage.recipe, len(modules)
        if key not in self._fusing:
            sample = self._sample(stage.recipe)
            self._fusing[key] = fusable(modules[0], optimizers[0], stage.recipe, sample) and fusing_pays(
                modules, optimizers, [sample] * len(modules), stage.recipe
            )
        return self._fusing[key]

    def _caught(self, stage: Stage, parent: TrainState | None) -> TrainState | ArithmeticError:
        try:
            return self.train(stage, parent)
        except ArithmeticError as failure:
            return failure

    def _merge(self, stage: Stage, parent: TrainState | None) -> TrainState:
        assert parent is not None, "a window has at least one step"
        snapshots = len(stage.recipe.snapshot_steps(stage.stop_step))
        model = merged(parent.sums[stage.stop_step], parent.model, snapshots)
        return TrainState(step=stage.stop_step, model=model, wall_s=parent.wall_s)

    def measure(self, stage: Stage, parent: TrainState | None) -> dict[str, Any]:
        """Return losses on all splits, accuracy and, for labels, macro scores; what is fitted comes from validation."""
        begun = time.perf_counter()
        assert stage.cell is not None
        module = self.build(stage)
        if parent is not None:
            load_model(parent, module)
        manifest, most = self.context.manifest, self.context.eval_examples
        sample = self.order(stage.seed).indices(
            stage.cell.data_examples, 0, min(stage.cell.data_examples, TRAIN_SCORE_EXAMPLES)
        )
        train_loss, _, _ = score(module, self.feeds["train"], sample)
        val_loss, predicted, true = score(module, self.feeds["val"], np.arange(min(most, manifest.val_examples)))
        test_loss, _, _ = score(module, self.feeds["test"], np.arange(min(most, manifest.test_examples)))
        tokens = manifest.tokens_per_example
        wall_s = time.perf_counter() - begun + (parent.wall_s if parent else 0.0)
        arrays = {k: v.detach().cpu().contiguous().numpy() for k, v in module.state_dict().items()}
        return {
            "train_loss": train_loss,
            "val_loss": val_loss,
            "test_loss": test_loss,
            "bits_per_byte": val_loss / math.log(2) if tokens else None,
            "accuracy": float((predicted == true).mean()),
            **({} if tokens else class_scores(predicted, true)),
            "model_bytes": len(to_safetensors(arrays)),
            "wall_s": wall_s,
            "device_s": wall_s * self.rank.world_size,
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
