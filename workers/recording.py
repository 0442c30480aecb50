"""The recorder of a stage that our own engines train, and what becomes of its curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from orchestrator.planning.context import RunContext
from orchestrator.planning.tree import Stage
from workers.checkpointer import Checkpointer
from workers.curves import StageCurve, trained_before
from workers.rank import Rank
from workers.task_data import LoadedData
from workers.training.curve import CurveRecorder, Validation
from workers.training.loop import to_training
from workers.training.state import TrainState


class Recorded(Protocol):
    """What a recorder asks of the engine whose steps it takes."""

    context: RunContext
    rank: Rank

    def data(self, name: str) -> LoadedData:
        """Return the data that ``pretrain`` or ``finetune`` stands for."""


def recorder_of(
    engine: Recorded,
    stage: Stage,
    parent: TrainState | None,
    modules: Sequence[torch.nn.Module],
    saved: Sequence[Mapping[str, np.ndarray]] = (),
) -> CurveRecorder:
    """Return what records the curve of a stage of one model, or of several that train together.

    Parameters
    ----------
    saved
        Of several models that were stopped together: the curves in their states.
    """
    data, begun = engine.data(stage.data), parent is not None and not parent.done
    start = parent.step if parent is not None and parent.phase == stage.phase else stage.start_step

    def losses() -> list[float]:
        found = [data.val_scores(module)["val_loss"] for module in modules]
        for module in modules:
            to_training(module)
        return found

    every = engine.context.eval_every
    return CurveRecorder(
        stage,
        start=start,
        rank=engine.rank,
        models=len(modules),
        validation=None if every is None else Validation(every, losses),
        saved=saved or ([parent.curve] if parent is not None and begun else ()),
    )


def tell_curve(
    engine: Recorded,
    stage: Stage,
    parent: TrainState | None,
    recorder: CurveRecorder,
    checkpointer: Checkpointer | None,
    model: int = 0,
) -> None:
    """Hand the curve of a stage that is done to whoever writes it; one that lacks its beginning is no curve."""
    if checkpointer is not None and recorder.whole:
        tokens = engine.context.data[stage.data].manifest.tokens_per_example
        before = trained_before(stage, parent) or None
        checkpointer.add_curve(StageCurve(stage, before, recorder.points(model), tokens))
