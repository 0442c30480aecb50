"""A trained model's scores on the tasks of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from orchestrator.planning.tasks import Task
from orchestrator.spec.registries import METRICS
from workers.task_data import LoadedData
from workers.tasks.byte_model import ByteModel
from workers.tasks.metric import Metric


def task_scores(tasks: Sequence[Task], module: torch.nn.Module, data: LoadedData) -> dict[str, float]:
    """Return the scores of each task as ``TASK.METRIC``.

    Parameters
    ----------
    data
        That the model was trained on last; its validation split is what tasks without a file are made of.
    """
    context = data.manifest.tokens_per_example
    assert context is not None, "planning asks tasks of text alone"
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    model = ByteModel(module, context, device)
    found: dict[str, float] = {}
    for task in tasks:
        metric: Metric = METRICS.load(task.kind)()
        items = task.questions() if task.text is not None else metric.made_of(_texts(data, task.items))[: task.items]
        if not items:
            raise ValueError(f"the validation split is too small to make a question of {task.name} from")
        found |= {f"{task.name}.{name}": float(value) for name, value in metric.score(model, items).items()}
    return found


def _texts(data: LoadedData, count: int) -> list[bytes]:
    split = data.feeds["val"].split
    x, _ = split.batch(np.arange(min(count, len(split)), dtype=np.int64))
    return [bytes(row.astype(np.uint8)) for row in x]
