"""The engine seam: what runs a stage, and the torch engine that all trained families use."""

from __future__ import annotations

import math
import time
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.numpy import save as to_safetensors

from orchestrator.planning.context import TRAIN_SCORE_EXAMPLES, RunContext
from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import FAMILIES, OPTIMIZERS, SOURCES
from workers.derived_seed import derived_seed
from workers.sources.order import Order
from workers.sources.source import Dataset
from workers.training.loop import train_steps
from workers.training.merge import OpenWindows, merged
from workers.training.score import class_scores, score
from workers.training.state import TrainState, load_model, load_optimizer, save_state


class Engine(Protocol):
    """Runs the stages of one sweep in one process, data and imports kept warm.

    Guarantees: a stage's state depends on the stage, its parent's state and the context alone, not on what the
    engine ran before; a parent's state is never written to.
    """

    device_kind: str

    def __init__(self, context: RunContext) -> None: ...

    def train(self, stage: Stage, parent: Any) -> Any:
        """Return the state at the end of a training stage; ``parent=None`` starts from initialisation."""

    def measure(self, stage: Stage, parent: Any) -> dict[str, Any]:
        """Return the outcome and cost columns of the row that an ``evaluate`` stage measures."""


class TorchEngine:
    """Trains and scores ``torch.nn.Module`` families."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.family = FAMILIES.load(context.family)()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.device_kind = torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu"
        self.data = self._load()
        self._orders: dict[int, Order] = {}

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

    def order(self, seed: int) -> Order:
        """Return the data order of a seed."""
        return self._orders.setdefault(seed, Order(self.context.manifest.train_examples, seed))

    def build(self, stage: Stage) -> torch.nn.Module:
        """Return the initialised model of a stage."""
        torch.manual_seed(derived_seed(stage.seed, "init", *stage.shape.dims))
        module: torch.nn.Module = self.family.build(stage.shape, self.context.model_options, self.context.manifest)
        return module.to(self.device)

    def train(self, stage: Stage, parent: TrainState | None) -> TrainState:
        """Return the state after the stage's steps, or the merged one of a ``merge`` stage."""
        if stage.kind == "merge":
            return self._merge(stage, parent)
        begun = time.perf_counter()
        recipe = self.context.recipe
        module = self.build(stage)
        optimizer = OPTIMIZERS.load(recipe.optimizer)(self.family.parameter_groups(module, stage.shape), recipe)
        if parent is not None:
            load_model(parent, module)
            load_optimizer(parent, module, optimizer)
        windows = OpenWindows(recipe, stage.windows, parent.sums if parent else {})
        train_steps(
            module,
            optimizer,
            self.data.train,
            self.order(stage.seed),
            recipe,
            start=stage.start_step,
            stop=stage.stop_step,
            total_steps=stage.total_steps,
            stream_examples=stage.stream_examples,
            seed=stage.seed,
            windows=windows,
        )
        spent_s = time.perf_counter() - begun + (parent.wall_s if parent else 0.0)
        return save_state(module, optimizer, step=stage.stop_step, wall_s=spent_s, sums=windows.sums)

    def _merge(self, stage: Stage, parent: TrainState | None) -> TrainState:
        assert parent is not None, "a window has at least one step"
        snapshots = len(self.context.recipe.snapshot_steps(stage.stop_step))
        model = merged(parent.sums[stage.stop_step], parent.model, snapshots)
        return TrainState(step=stage.stop_step, model=model, wall_s=parent.wall_s)

    def measure(self, stage: Stage, parent: TrainState | None) -> dict[str, Any]:
        """Return losses on all splits, accuracy and, for labels, macro scores; what is fitted comes from validation."""
        begun = time.perf_counter()
        assert stage.cell is not None
        module = self.build(stage)
        if parent is not None:
            load_model(parent, module)
        data, most = self.data, self.context.eval_examples
        sample = self.order(stage.seed).indices(
            stage.cell.data_examples, 0, min(stage.cell.data_examples, TRAIN_SCORE_EXAMPLES)
        )
        train_loss, _, _ = score(module, data.train, sample)
        val_loss, predicted, true = score(module, data.val, np.arange(min(most, len(data.val))))
        test_loss, _, _ = score(module, data.test, np.arange(min(most, len(data.test))))
        tokens = self.context.manifest.tokens_per_example
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
            "device_s": wall_s,
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
