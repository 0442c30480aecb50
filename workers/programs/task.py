"""The task file of ``do: train``, ``score`` and ``evaluate``: what a process is told, in a sweep or a trial."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from orchestrator.planning.family import ModelShape
from orchestrator.planning.manifest import DataManifest
from orchestrator.planning.recipe import Recipe
from orchestrator.planning.tasks import Task
from orchestrator.programs.exchange import write_json
from orchestrator.programs.manifest import PROTOCOL
from workers.families.program.plan import described_data, described_model
from workers.programs.ranks import devices

#: What of a recipe a task has under a name of its own, or as its devices.
_NAMED: Final = ("learning_rate", "batch_size", "world_size")


def write_train_task(
    folder: Path,
    *,
    id_: str,
    options: Mapping[str, Any],
    shape: ModelShape,
    data: DataManifest,
    recipe: Recipe,
    seed: int,
    on_gpu: bool,
    start_step: int,
    start_state: Path | None,
    stop_step: int,
    rate_knots: Sequence[Sequence[float]],
    stream_examples: int,
    save_steps: Sequence[int],
    checkpoint_interval_s: float,
    eval_examples: int | None,
    weights: Path | None = None,
    tasks: Sequence[Task] = (),
) -> dict[str, Any]:
    """Make what a process needs in a folder of its own, write its ``task.json`` there, and return what that says.

    Parameters
    ----------
    folder
        Gets ``states/`` and ``work/``; answer and metrics go there too.
    weights
        A file that takes the place of the state's: it is to be scored, and nothing trained.
    tasks
        What the model is to be asked, and nothing else done; each gets a file of questions.
    """
    for name in ("states", "work"):
        (folder / name).mkdir(parents=True)
    task: dict[str, Any] = {
        "protocol": PROTOCOL,
        "do": "evaluate" if tasks else "train" if weights is None else "score",
        "id": id_,
        "work": str(folder / "work"),
        "options": dict(options),
        "result": str(folder / "result.json"),
        "model": described_model(shape),
        "data": described_data(data),
        "seed": seed,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "recipe": {name: value for name, value in recipe.to_json().items() if name not in _NAMED},
        "start_step": start_step,
        "start_state": None if start_state is None else str(start_state),
        "stop_step": stop_step,
        "rate_knots": [list(knot) for knot in rate_knots],
        "stream_examples": stream_examples,
        "states": str(folder / "states"),
        "save_steps": list(save_steps),
        "checkpoint_interval_s": checkpoint_interval_s,
        "eval_examples": eval_examples,
        "metrics": str(folder / "metrics.jsonl"),
        "weights": None if weights is None else str(weights),
        "phase": "pretrain",
        "world_size": recipe.world_size,
        "devices": devices(on_gpu=on_gpu, world_size=recipe.world_size),
    }
    if tasks:
        task["tasks"] = [_questions(folder / "tasks", each) for each in tasks]
    write_json(folder / "task.json", task)
    return task


def _questions(folder: Path, task: Task) -> dict[str, Any]:
    """Write the questions of a task, one a line, and return what the program is told of it."""
    folder.mkdir(exist_ok=True)
    path, questions = folder / f"{task.name}.jsonl", task.questions()
    path.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    return {"name": task.name, "kind": task.kind, "path": str(path), "items": len(questions)}
