"""A ``compress`` stage: from a trained model's state to a smaller one's, with the training that wins back its loss."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from orchestrator.planning.tree import Stage
from orchestrator.spec.registries import COMPRESSORS, OPTIMIZERS
from workers.compressors.session import Parts, TrainedCompressor
from workers.training.loop import train_steps
from workers.training.merge import OpenWindows
from workers.training.state import TrainState, arrays_of, load_arrays

if TYPE_CHECKING:
    from workers.engine import TorchEngine


def restored(module: torch.nn.Module, state: TrainState) -> torch.nn.Module:
    """Return a freshly built module with a state's structure and values."""
    for fact in state.facts:
        compressor: TrainedCompressor = COMPRESSORS.load_training(fact["method"])()
        module = compressor.restructure(module, fact)
    load_arrays(state.model, module)
    return module


def compress(engine: TorchEngine, stage: Stage, parent: TrainState | None) -> TrainState:
    """Return the state of the compressed model; what it is judged by, its parent's scores, travels with it.

    Raises
    ------
    Diverged
        If training it ended in no finite loss.
    """
    begun = time.perf_counter()
    step = stage.compress
    assert step is not None
    assert parent is not None, "a compression has a parent"
    module = restored(engine.build_shape(step.before, stage.seed, stage.data), parent)
    reference = parent.reference or engine.reference(stage, module, parent)
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
        data = engine.data(stage.data)
        model = engine.warm.wrapped(session.module, step.recipe, lambda recipe: data.sample(recipe, engine.rank))
        optimizer: torch.optim.Optimizer = OPTIMIZERS.load(step.recipe.optimizer)(
            engine.family.parameter_groups(session.module, stage.shape), step.recipe
        )
        train_steps(
            model,
            optimizer,
            data.feeds["train"],
            data.order(stage.seed),
            stage,
            start=0,
            rank=engine.rank,
            windows=OpenWindows(step.recipe, (), {}),
            after_step=session.after_step or (lambda step: None),
            loss_of=session.loss,
        )
    facts = {"method": step.method, **session.finish()}
    student = stage.shape != step.before
    return TrainState(
        step=stage.stop_step,
        model=arrays_of(session.module),
        wall_s=time.perf_counter() - begun + parent.wall_s,
        phase=stage.phase,
        facts=() if student else (*parent.facts, facts),
        reference=reference,
    )
