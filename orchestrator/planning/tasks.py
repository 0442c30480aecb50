"""The tasks of a sweep, read and looked through before anything starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import BadInput
from orchestrator.planning.manifest import DataManifest
from orchestrator.programs.program import Program
from orchestrator.spec.registries import METRICS
from orchestrator.spec.sweep import Sweep

#: A task travels to each worker with the sweep.
MOST_BYTES: Final = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, with its questions.

    Parameters
    ----------
    text
        JSON lines; ``None`` where they are made of the validation split.
    """

    name: str
    kind: str
    text: str | None
    items: int

    @property
    def identity(self) -> dict[str, Any]:
        """What of it a cell's id holds."""
        digest = None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()
        return {"name": self.name, "kind": self.kind, "digest": digest, "items": self.items}

    def questions(self) -> list[dict[str, Any]]:
        """Return the items of the file."""
        return [json.loads(line) for line in (self.text or "").splitlines() if line.strip()][: self.items]


def tasks_of(sweep: Sweep, data: Mapping[str, DataManifest], program: Program | None = None) -> tuple[Task, ...]:
    """Return the tasks of a sweep; of a program, it is asked for the kinds that it says it can score.

    Raises
    ------
    BadInput
        If the model reads no bytes, a file isn't there, or a line of it is no question of its kind.
    """
    if not sweep.evaluate:
        return ()
    if program is not None:
        _check_program(sweep, program.manifest.name, program.manifest.evaluates)
    for manifest in data.values() if program is None else ():
        if manifest.tokens_per_example is None or manifest.classes != 256:
            raise BadInput(
                f"{sweep.at('evaluate')}: tasks are read as bytes, and {manifest.task} has none: take a text source "
                "such as python-stdlib, or leave evaluate out"
            )
    names = [task.name for task in sweep.evaluate]
    found = []
    for k, task in enumerate(sweep.evaluate):
        if names.index(task.name) != k or task.name in {manifest.task for manifest in data.values()}:
            raise BadInput(f"{sweep.at('evaluate', k, 'name')}: {task.name} is taken already; take another name")
        text = None if task.path is None else _text(task.path, sweep.at("evaluate", k, "path"))
        read = Task(name=task.name, kind=task.kind, text=text, items=task.items)
        if text is not None:
            _check(read, str(task.path), sweep.at("evaluate", k, "path"))
        found.append(read)
    return tuple(found)


def _check_program(sweep: Sweep, name: str, evaluates: Sequence[str]) -> None:
    for k, task in enumerate(sweep.evaluate):
        if task.kind not in evaluates:
            raise BadInput(
                f"{sweep.at('evaluate', k, 'kind')}: {name} doesn't say that it scores {task.kind}: add it to "
                "evaluates in program.toml, where it answers do: evaluate, or take the task out"
            )
        if task.path is None:
            raise BadInput(
                f"{sweep.at('evaluate', k)}: the text that {name} reads is its own, so no questions can be made of it: "
                "add path, a file of them"
            )


def _text(path: str, place: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{place}: {path} can't be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise BadInput(f"{place}: {path} is larger than a task ({MOST_BYTES:,} bytes): take fewer of its lines")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{place}: {path} is no UTF-8 text: {error.reason} at byte {error.start}") from error


def _check(task: Task, path: str, place: str) -> None:
    kind = METRICS.load(task.kind)()
    count = 0
    for number, line in enumerate((task.text or "").splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{place}: {path}:{number}: no JSON: {error}") from error
        wrong = kind.wrong(item) if isinstance(item, dict) else "a question is a mapping"
        if wrong:
            raise BadInput(f"{place}: {path}:{number}: no question of kind {task.kind}: {wrong}")
        count += 1
    if not count:
        raise BadInput(f"{place}: {path} holds no question")
