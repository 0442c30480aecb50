"""A ``compress`` stage: from a trained model's state to a smaller one's, with the training that wins back its loss."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from orchestrator.planning.context import RunContext
from orchestrator.planning.family import ModelShape
from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import COMPRESSORS, OPTIMIZERS
from workers.accounting import Finished
from workers.checkpointer import Checkpointer
from workers.compressors.session import Parts, Session, TrainedCompressor
from workers.curves import trained_before
from workers.families.trained import TorchFamily
from workers.rank import Rank
from workers.recording import recorder_of, tell_curve
from workers.task_data import LoadedData
from workers.training.loop import train_steps
from workers.training.merge import OpenWindows
from workers.training.model_cache import WarmModels
from workers.training.state import TrainState, arrays_of, load_arrays, load_model, load_optimizer, save_state


class Bench(Protocol):
    """What a compression asks of the engine that it runs in."""

    context: RunContext
    rank: Rank
    family: TorchFamily
    warm: WarmModels

    def data(self, name: str) -> LoadedData:
        """Return the data that ``pretrain`` or ``finetune`` stands for."""

    def build_shape(self, shape: ModelShape, seed: int, data: str) -> torch.nn.Module:
        """Return the initialised model of a shape."""

    def reference(self, stage: Stage, module: torch.nn.Module, state: TrainState) -> dict[str, float]:
        """Return what a compression of a model is judged by."""


def restored(module: torch.nn.Module, state: Finished) -> torch.nn.Module:
    """Return a freshly built module with a state's structure and values."""
    for fact in state.facts:
        compressor: TrainedCompressor = COMPRESSORS.load_training(fact["method"])()
        module = compressor.restructure(module, fact)
    load_arrays(state.model, module)
    return module


def compress(
    engine: Bench,
    stage: Stage,
    parent: TrainState | None,
    checkpointer: Checkpointer | None = None,
    micro_batches: int = 1,
) -> TrainState:
    """Return the state of the compressed model; what it is judged by, its parent's scores, travels with it.

    Parameters
    ----------
    parent
        The model to compress, or what an earlier attempt has kept in the middle of this compression. Such a state holds
        the model that it began with too: masks, factors and teachers follow from that one, not from a half-trained one.

    Raises
    ------
    Diverged
        If training it ended in no finite loss.
    """
    begun = time.perf_counter()
    step = stage.compress
    assert step is not None
    assert parent is not None, "a compression has a parent"
    before = parent if parent.done else replace(parent, model=_named("model", parent.origin))
    module = restored(engine.build_shape(step.before, stage.seed, stage.data), before)
    reference = parent.reference or engine.reference(stage, module, before)
    weights = [name for name, _ in engine.family.weights(step.before)]
    parts = Parts(weights, engine.family.unit_groups(step.before))
    compressor: TrainedCompressor = COMPRESSORS.load_training(step.method)()
    session = compressor.session(
        module,
        step.options,
        parts,
        step.training_steps,
        lambda: engine.build_shape(stage.shape, stage.seed, stage.data),
    )
    if step.training_steps:
        _recover(engine, stage, parent, before, reference, session, checkpointer, micro_batches, begun)
    facts = {"method": step.method, **session.finish()}
    student = stage.shape != step.before
    return TrainState(
        step=stage.stop_step,
        model=arrays_of(session.module),
        wall_s=time.perf_counter() - begun + parent.wall_s,
        phase=stage.phase,
        facts=() if student else (*parent.facts, facts),
        reference=reference,
        micro_batches=max(micro_batches, parent.micro_batches),
        trained=stage.id if step.training_steps else trained_before(stage, parent),
    )


def _recover(
    engine: Bench,
    stage: Stage,
    parent: TrainState,
    before: TrainState,
    reference: dict[str, float],
    session: Session,
    checkpointer: Checkpointer | None,
    micro_batches: int,
    begun: float,
) -> None:
    """Train what a compression has made, from its beginning or from where an earlier attempt was kept."""
    step = stage.compress
    assert step is not None
    data, module = engine.data(stage.data), session.module
    own = data.objective.loss
    model = engine.warm.wrapped(module, step.recipe, lambda recipe: data.sample(recipe, engine.rank), own)
    optimizer: torch.optim.Optimizer = OPTIMIZERS.load(step.recipe.optimizer)(
        engine.family.parameter_groups(module, stage.shape), step.recipe
    )
    if not parent.done:
        load_model(parent, module)
        load_optimizer(parent, module, optimizer)
        session.hold(_named("session", parent.origin))
    recorder = recorder_of(engine, stage, parent, [module])
    origin = {f"model/{name}": array for name, array in before.model.items()}

    def state(steps: int) -> TrainState:
        kept = save_state(
            module,
            optimizer,
            step=steps,
            wall_s=time.perf_counter() - begun + parent.wall_s,
            sums={},
            phase=stage.phase,
            done=False,
            micro_batches=max(micro_batches, parent.micro_batches),
            trained=trained_before(stage, parent),
            curve=recorder.saved(),
        )
        held = {f"session/{name}": array for name, array in session.held().items()}
        return replace(kept, facts=parent.facts, reference=reference, origin=origin | held)

    def after_step(steps: int) -> None:
        if session.after_step is not None:
            session.after_step(steps)
        if checkpointer is not None:
            checkpointer.after_step(stage, steps, lambda: state(steps))

    train_steps(
        model,
        optimizer,
        data.feeds["train"],
        data.order(stage.seed),
        stage,
        start=0 if parent.done else parent.step,
        rank=engine.rank,
        windows=OpenWindows(step.recipe, (), {}),
        after_step=after_step,
        loss_of=session.loss,
        micro_batches=micro_batches,
        recorder=recorder,
    )
    tell_curve(engine, stage, parent, recorder, checkpointer)


def _named(kind: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a kind, without it."""
    return {name.removeprefix(f"{kind}/"): array for name, array in arrays.items() if name.startswith(f"{kind}/")}
