"""What a program says of its data and models before anything is trained: asked by a process, remembered by digest."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError, field_validator

from orchestrator.errors import BadInput
from orchestrator.programs.exchange import MOST_BYTES, BadAnswer, read_json, write_json
from orchestrator.programs.guardian import Guardian
from orchestrator.programs.manifest import PROTOCOL
from orchestrator.programs.process import TaskProcess, environment, told
from orchestrator.programs.program import Program
from orchestrator.spec.remembered import Remembered, cache_folder
from orchestrator.spec.validation_errors import complaints_of
from orchestrator.spec.yaml.key_path import shown

#: Longest that a program may take to describe itself.
DESCRIBE_S: Final = 600.0
#: Files of a program's folder whose times are looked at to see whether its data have changed.
MOST_FILES: Final = 20_000

Count = Annotated[StrictInt, Field(ge=0, lt=2**62)]
Size = Annotated[StrictInt, Field(ge=1, lt=2**62)]
Cost = Annotated[StrictInt, Field(ge=1, lt=10**30)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class DescribedData(_Answer):
    """What is learned from."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    digest: Annotated[StrictStr, Field(min_length=8, max_length=200)]
    train_examples: Size
    val_examples: Size
    test_examples: Count = 0
    tokens_per_example: Size | None = None


class DescribedModel(_Answer):
    """One size."""

    params_total: Size
    params_non_embedding: Size
    train_flops: Cost
    dims: dict[str, Any]
    #: Shape of each weight that may be compressed, by its name in the weights file: (outputs, inputs, …).
    weights: dict[
        Annotated[str, Field(min_length=1, max_length=500)], Annotated[tuple[Size, ...], Field(min_length=2)]
    ] = Field(default={}, max_length=100_000)

    @field_validator("weights")
    @classmethod
    def _apart(cls, weights: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        layers = {name.removesuffix(".weight") for name in weights}
        for layer in layers:
            parts = layer.split(".")
            above = next((up for k in range(1, len(parts)) if (up := ".".join(parts[:k])) in layers), None)
            if not all(parts) or above is not None or len(layers) < len(weights):
                raise ValueError(f"{layer[:80]!r} is no name of a layer of its own; write blocks.0.proj.weight")
        return weights


class Description(_Answer):
    """A program's answer to ``do: describe``."""

    data: DescribedData
    models: tuple[DescribedModel, ...]


@dataclass(frozen=True)
class _Question:
    program: Program
    options: Mapping[str, Any]
    params: tuple[int, ...]

    def depends_on(self) -> list[Any]:
        """Return what the answer depends on, as far as it can be known without asking.

        Data are not among a program's sources; sizes and times of the files beside them stand for them.
        """
        passed = {name: os.environ.get(name) for name in self.program.manifest.env}
        return [self.program.digest, self.options, self.params, sys.executable, passed, _beside(self.program.folder)]


def describe(
    program: Program, options: Mapping[str, Any], params: Sequence[int], *, remembered: bool = False
) -> Description:
    """Return what a program says of its data, and of a model of each size.

    Parameters
    ----------
    options
        ``model.options`` of the sweep.
    params
        Sizes asked for, non-embedding parameters.
    remembered
        Whether an answer that was given to the same question before will do.

    Raises
    ------
    BadInput
        If it ends otherwise than with exit 0 and a description of as many sizes.
    """
    question = _Question(program, options, tuple(params))
    answers = Remembered(cache_folder("describe"), MOST_BYTES)
    key = answers.key(question.depends_on())
    if remembered:
        with suppress(ValidationError):
            return Description.model_validate(answers.recall(key))
    answer = _asked(question)
    answers.keep(key, answer.model_dump(mode="json"))
    return answer


def _asked(question: _Question) -> Description:
    program = question.program
    name = program.manifest.name
    scratch = Path(tempfile.mkdtemp(prefix="scalaw-describe-"))
    guardian = Guardian(scratch)
    try:
        result = scratch / "result.json"
        (scratch / "work").mkdir()
        write_json(
            scratch / "task.json",
            {
                "protocol": PROTOCOL,
                "do": "describe",
                "id": "describe",
                "work": str(scratch / "work"),
                "options": dict(question.options),
                "result": str(result),
                "params": list(question.params),
            },
        )
        process = TaskProcess(
            program.manifest.command,
            Path(program.folder),
            scratch / "task.json",
            environment(program.manifest, threads=1),
            guardian,
        )
        code = process.wait(DESCRIBE_S)
        process.kill()
        if code is None:
            raise BadInput(f"{name} was asked to describe itself and took longer than {DESCRIBE_S:g} s")
        if code != 0:
            said = process.log.text()
            last = said.splitlines()[-1] if said else "it said nothing"
            raise BadInput(f"{name} was asked to describe itself and ended with {told(code)}: {last}")
        return _checked(name, result, question.params)
    except OSError as error:
        raise BadInput(f"{name} can't be started: {error.strerror} ({error.filename})") from error
    finally:
        guardian.close()


def _checked(name: str, result: Path, params: Sequence[int]) -> Description:
    try:
        document = read_json(result)
    except BadAnswer as bad:
        raise BadInput(f"{name} was asked to describe itself: {bad}") from bad
    if document.get("protocol") != PROTOCOL or document.get("id") != "describe":
        raise BadInput(f"{name} describes itself by another protocol or task: protocol {PROTOCOL}, id 'describe'")
    try:
        found = Description.model_validate(document)
    except ValidationError as error:
        first = complaints_of(error)[0]
        raise BadInput(f"{name} describes itself wrongly: {shown(first.location)}: {first.sentence}") from None
    if len(found.models) != len(params):
        raise BadInput(
            f"{name} describes {len(found.models)} models and was asked for {len(params)} sizes: one each, in order"
        )
    return found


def _beside(folder: str) -> list[tuple[str, int, int]]:
    """Return path, size and time of the files in a program's folder."""
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each != "__pycache__")
        for name in sorted(names):
            with suppress(OSError):
                about = Path(where, name).stat()
                found.append((os.path.relpath(Path(where, name), folder), about.st_size, about.st_mtime_ns))
        if len(found) > MOST_FILES:
            break
    return found
