"""The engine that all trained families use: runs stages with torch."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from orchestrator.planning.context import RunContext
from orchestrator.planning.family import ModelShape
from orchestrator.planning.recipe import Recipe
from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import FAMILIES, OPTIMIZERS
from workers.accounting import account, model_of, unmet
from workers.checkpointer import Checkpointer
from workers.compressing import compress, restored
from workers.curves import trained_before
from workers.derived_seed import derived_seed
from workers.device import algorithms, give_memory_back, prepared_device
from workers.families.trained import HasObjective, TorchFamily
from workers.rank import ALONE, Rank
from workers.recording import recorder_of, tell_curve
from workers.serving.latency import measured, slower
from workers.serving.model_file import to_bytes as model_bytes
from workers.task_data import LoadedData
from workers.tasks.scores import task_scores
from workers.training.batches import training_picks
from workers.training.checkpoint import from_bytes, to_bytes
from workers.training.curve import Diverged
from workers.training.fused import train_fused
from workers.training.fusing import fusable, fusing_pays
from workers.training.loop import train_steps
from workers.training.merge import OpenWindows, merged
from workers.training.model_cache import WarmModels
from workers.training.state import TrainState, arrays_of, load_arrays, load_model, load_optimizer, save_state

#: Scores that have columns of their own; what else a family measures stands together in ``metrics``.
SCORED = frozenset(
    ["train_loss", "val_loss", "test_loss", "bits_per_byte", "accuracy", "precision_macro", "recall_macro", "f1_macro"]
)
#: Parents whose scores are remembered, so that their compressed variants needn't score them again.
REFERENCES_KEPT = 32


class TorchEngine:
    """Trains and scores ``torch.nn.Module`` families."""

    def __init__(self, context: RunContext, rank: Rank = ALONE, *, on_gpu: bool = False, threads: int = 1) -> None:
        self.context, self.rank = context, rank
        self.family: TorchFamily = FAMILIES.load_training(context.family)()
        self.device = prepared_device(on_gpu=on_gpu)
        self.device_kind = torch.cuda.get_device_name() if on_gpu else "cpu"
        self.warm = WarmModels(rank)
        self._data: dict[str, LoadedData] = {}
        self._fusing: dict[tuple[ModelShape, Recipe, int], bool] = {}
        self._references: OrderedDict[str, dict[str, float]] = OrderedDict()
        self._beat: Callable[[], None] = lambda: None
        self.data("pretrain")

    def listen(self, beat: Callable[[], None]) -> None:
        """Call something after each scored batch."""
        self._beat = beat
        for data in self._data.values():
            for feed in data.feeds.values():
                feed.beat = beat

    def data(self, name: str) -> LoadedData:
        """Return the data that ``pretrain`` or ``finetune`` stands for, loaded once."""
        if name not in self._data:
            data = self.context.data[name]
            objective = None
            if isinstance(self.family, HasObjective):
                objective = self.family.objective(self.context.model_options, data.manifest)
            self._data[name] = LoadedData(data, self.device, self.context.eval_examples, objective)
            for feed in self._data[name].feeds.values():
                feed.beat = self._beat
        return self._data[name]

    def build(self, stage: Stage) -> torch.nn.Module:
        """Return the initialised model of a stage, its body frozen where only the head is trained."""
        module = self.build_shape(stage.shape, stage.seed, stage.data)
        if stage.tuning is not None and stage.tuning.frozen == "body":
            for name, parameter in module.named_parameters():
                parameter.requires_grad_(name.startswith(self.family.head + "."))
        return module

    def build_shape(self, shape: ModelShape, seed: int, data: str) -> torch.nn.Module:
        """Return the initialised model of a shape."""
        torch.manual_seed(derived_seed(seed, "init", *shape.dims))
        manifest = self.context.data[data].manifest
        module: torch.nn.Module = self.family.build(shape, self.context.model_options, manifest)
        return module.to(self.device)

    def train(
        self,
        stage: Stage,
        parent: TrainState | None,
        checkpointer: Checkpointer | None = None,
        micro_batches: int = 1,
    ) -> TrainState:
        """Return the state after the stage's steps, or the merged one of a ``merge`` stage."""
        if stage.kind == "merge":
            return self._merge(stage, parent)
        try:
            with algorithms(deterministic=stage.recipe.deterministic):
                if stage.kind == "compress":
                    return compress(self, stage, parent, checkpointer, micro_batches)
                return self._trained(stage, parent, checkpointer, micro_batches)
        except torch.OutOfMemoryError as error:
            self.warm.forget()
            give_memory_back(error)
            raise

    def _trained(
        self, stage: Stage, parent: TrainState | None, checkpointer: Checkpointer | None, micro_batches: int
    ) -> TrainState:
        begun = time.perf_counter()
        recipe, data = stage.recipe, self.data(stage.data)
        goes_on = parent if parent is not None and parent.phase == stage.phase else None
        model = self.warm.get(
            stage, self.build, lambda recipe: data.sample(recipe, self.rank), loss=data.objective.loss
        )
        module = model.module
        optimizer = self._start(stage, parent, module)
        windows = OpenWindows(recipe, stage.windows if self.rank.leads else (), goes_on.sums if goes_on else {})

        recorder = recorder_of(self, stage, parent, [module])
        parts = max(micro_batches, parent.micro_batches if parent else 1)

        def state(step: int) -> TrainState:
            return save_state(
                module,
                optimizer,
                step=step,
                wall_s=time.perf_counter() - begun + (parent.wall_s if parent else 0.0),
                sums=windows.sums,
                phase=stage.phase,
                done=step == stage.stop_step,
                micro_batches=parts,
                trained=stage.id if step == stage.stop_step else trained_before(stage, parent),
                curve={} if step == stage.stop_step else recorder.saved(),
            )

        def after_step(step: int) -> None:
            if checkpointer is not None:
                checkpointer.after_step(stage, step, lambda: state(step))

        train_steps(
            model,
            optimizer,
            data.feeds["train"],
            data.order(stage.seed),
            stage,
            start=goes_on.step if goes_on else 0,
            rank=self.rank,
            windows=windows,
            after_step=after_step,
            micro_batches=micro_batches,
            recorder=recorder,
        )
        tell_curve(self, stage, parent, recorder, checkpointer)
        return state(stage.stop_step)

    def foresee(self, stages: Sequence[Stage]) -> None:
        """Nothing need be prepared: a model is built when its stage begins."""

    def pack(self, state: TrainState) -> bytes:
        """Return a state as one safetensors file."""
        return to_bytes(state)

    def unpack(self, data: bytes) -> TrainState:
        """Return the state in a safetensors file."""
        return from_bytes(data)

    def _start(self, stage: Stage, parent: TrainState | None, module: torch.nn.Module) -> torch.optim.Optimizer:
        """Fill a module with the state from which a stage goes on; return its optimiser in that state.

        The first stage of a fine-tuning takes its parent's weights alone, and not those of a head that is new.
        """
        recipe = stage.recipe
        optimizer: torch.optim.Optimizer = OPTIMIZERS.load(recipe.optimizer)(
            self.family.parameter_groups(module, stage.shape), recipe
        )
        if parent is not None and parent.phase == stage.phase:
            load_model(parent, module)
            load_optimizer(parent, module, optimizer)
            return optimizer
        module.load_state_dict(self.build(stage).state_dict())
        if parent is not None:
            assert stage.tuning is not None, "only fine-tuning begins with another phase's weights"
            new_head = self.family.head + "." if stage.tuning.new_head else None
            taken = {k: v for k, v in parent.model.items() if new_head is None or not k.startswith(new_head)}
            load_arrays({**arrays_of(module), **taken}, module)
        return optimizer

    def train_together(
        self,
        stages: Sequence[Stage],
        parents: Sequence[TrainState | None],
        checkpointer: Checkpointer | None = None,
    ) -> list[TrainState | ArithmeticError]:
        """Return the states after stages of other seeds; the seconds of each are its share."""
        begun = time.perf_counter()
        recipe, first = stages[0].recipe, stages[0]
        modules = [self.build(stage) for stage in stages]
        optimizers = [self._start(*each) for each in zip(stages, parents, modules, strict=True)]
        if not self._fuses(first, modules, optimizers):
            return [self._caught(stage, parent, checkpointer) for stage, parent in zip(stages, parents, strict=True)]
        windows = [
            OpenWindows(recipe, stage.windows, parent.sums if parent else {})
            for stage, parent in zip(stages, parents, strict=True)
        ]
        data, mine = self.data(first.data), self.rank.share(recipe.batch_size)
        start = parents[0].step if parents[0] is not None and parents[0].phase == first.phase else first.start_step

        recorder = recorder_of(
            self, first, parents[0], modules, [each.curve for each in parents if each and not each.done]
        )

        def state(k: int, step: int) -> TrainState:
            before = parents[k]
            return save_state(
                modules[k],
                optimizers[k],
                step=step,
                wall_s=(time.perf_counter() - begun) / len(stages) + (before.wall_s if before else 0.0),
                sums=windows[k].sums,
                phase=first.phase,
                done=step == first.stop_step,
                trained=stages[k].id if step == first.stop_step else trained_before(stages[k], before),
                curve={} if step == first.stop_step else recorder.saved(k),
            )

        def after_step(step: int) -> None:
            if checkpointer is not None:
                checkpointer.after_step_together(
                    [(stage, partial(state, k, step)) for k, stage in enumerate(stages)], step
                )

        train_fused(
            modules,
            optimizers,
            [
                data.feeds["train"].batches(training_picks(data.order(s.seed), s, start=start, mine=mine))
                for s in stages
            ],
            recipe,
            start=start,
            stop=first.stop_step,
            total_steps=first.total_steps,
            windows=windows,
            after_step=after_step,
            recorder=recorder,
        )
        for k, (stage, parent) in enumerate(zip(stages, parents, strict=True)):
            if k not in recorder.diverged:
                tell_curve(self, stage, parent, recorder, checkpointer, k)
        return [
            Diverged.after(recorder.diverged[k]) if k in recorder.diverged else state(k, first.stop_step)
            for k in range(len(stages))
        ]

    def _fuses(
        self, stage: Stage, modules: Sequence[torch.nn.Module], optimizers: Sequence[torch.optim.Optimizer]
    ) -> bool:
        """Return whether so many models of a shape can train as one and that pays; probed once."""
        if self.data(stage.data).objective.loss is not None:
            return False
        key = stage.shape, stage.recipe, len(modules)
        if key not in self._fusing:
            sample = self.data(stage.data).sample(stage.recipe, self.rank)
            self._fusing[key] = fusable(modules[0], optimizers[0], stage.recipe, sample) and fusing_pays(
                modules, optimizers, [sample] * len(modules), stage.recipe
            )
        return self._fusing[key]

    def _caught(
        self, stage: Stage, parent: TrainState | None, checkpointer: Checkpointer | None
    ) -> TrainState | ArithmeticError:
        try:
            return self.train(stage, parent, checkpointer)
        except ArithmeticError as failure:
            return failure

    def _merge(self, stage: Stage, parent: TrainState | None) -> TrainState:
        assert parent is not None, "a window has at least one step"
        snapshots = len(stage.recipe.snapshot_steps(stage.stop_step))
        model = merged(parent.sums[stage.stop_step], parent.model, snapshots)
        return TrainState(
            step=stage.stop_step,
            model=model,
            wall_s=parent.wall_s,
            phase=stage.phase,
            micro_batches=parent.micro_batches,
            trained=trained_before(stage, parent),
        )

    def reference(self, stage: Stage, module: torch.nn.Module, state: TrainState) -> dict[str, float]:
        """Return what a compression of a model is judged by: the scores and bytes of the model before it."""
        assert stage.compress is not None
        assert stage.parent is not None
        if stage.parent not in self._references:
            scores = self.data(stage.data).val_scores(module)
            model = model_of(self.context, stage.compress.before, state, data=stage.data)
            times = self._times(module, stage.data)[0]
            spent = {name: value for name, value in times.items() if name == "latency_p50_s"}
            self._references[stage.parent] = {**scores, "model_bytes": len(model_bytes(model)), **spent}
            while len(self._references) > REFERENCES_KEPT:
                self._references.popitem(last=False)
        return self._references[stage.parent]

    def _times(self, module: torch.nn.Module, data: str) -> tuple[dict[str, Any], list[str]]:
        """Return how fast a model answers, unless the sweep turns that off."""
        if not self.context.inference.measure:
            return {}, []
        some = self.data(data).some
        if not isinstance(some(1), tuple) or not isinstance(some(1)[0], torch.Tensor):
            return {}, ["not timed: its batches don't begin with a tensor that the model alone could answer"]
        return measured(module.eval(), lambda examples: some(examples)[0], self.context.inference.backend)

    def model_file(self, stage: Stage, parent: TrainState | None) -> bytes:
        """Return the model that an ``evaluate`` stage measures, as a file."""
        if parent is None:
            parent = TrainState(step=0, model=arrays_of(self.build_shape(stage.shape, stage.seed, stage.data)))
        return model_bytes(model_of(self.context, stage.shape, parent, data=stage.data))

    def measure(self, stage: Stage, parent: TrainState | None) -> dict[str, Any]:
        """Return scores, sizes and times of a cell's model; what is fitted comes from validation."""
        begun = time.perf_counter()
        cell = stage.cell
        assert cell is not None
        data = self.data(cell.data)
        module = self.build_shape(stage.shape, stage.seed, stage.data)
        parent = parent or TrainState(step=0, model=arrays_of(module))
        module = restored(module, parent)
        examples = cell.tuning.examples if cell.tuning else cell.data_examples
        with algorithms(deterministic=stage.recipe.deterministic):
            scores, warnings = data.scores(module, stage.seed, examples)
        times, slowly = self._times(module, stage.data)
        warnings += slowly
        warnings += slower(times, parent.reference)
        spent_s = time.perf_counter() - begun
        in_nats = data.objective.loss is None
        trained = {name for name, _ in module.named_parameters()}
        accounted = account(self.context, cell, trained, parent, scores, reference=parent.reference, in_nats=in_nats)
        more = {name: scores.pop(name) for name in sorted(scores.keys() - SCORED)}
        if self.context.tasks:
            with algorithms(deterministic=stage.recipe.deterministic):
                more |= task_scores(self.context.tasks, module, data)
        warnings += unmet(accounted, parent.facts)
        if parent.micro_batches > 1:
            warnings.append(
                f"trained in {parent.micro_batches} parts a batch, as the device had no memory for more: the last "
                "digits are other than in one part"
            )
        return {
            **scores,
            **times,
            **accounted,
            "warnings": "; ".join(warnings) or None,
            "stage_id": trained_before(stage, parent) or None,
            "metrics": json.dumps(more) if more else None,
            "wall_s": spent_s + parent.wall_s,
            "device_s": spent_s * self.rank.world_size + parent.wall_s * stage.recipe.world_size,
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
