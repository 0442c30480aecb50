"""``program.toml``: the command of a user's own trainer and what it promises, read as data."""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, field_validator

from orchestrator.errors import BadInput
from orchestrator.spec.bounds import Seconds
from orchestrator.spec.options import Options
from orchestrator.spec.validation_errors import complaints_of
from orchestrator.spec.yaml.key_path import shown

#: The only protocol so far; another number is another agreement.
PROTOCOL: Final = 1
#: A manifest is a screenful; what is larger is something else.
MOST_BYTES: Final = 100_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
#: Variables that are the store's, the cluster's or the task's: no program is given them.
_KEPT_FROM_IT = re.compile(r"AWS_.*|AZURE_.*|GOOGLE_.*|GCS_.*|RAY_.*|SCALAW_.*")

Word = Annotated[str, Field(min_length=1, max_length=4_000)]


class Sharing(StrEnum):
    """How far cells of a program may have their training in common; each level promises what the ones after it do."""

    EXACT = "exact"
    RESUME = "resume"
    NONE = "none"


class Manifest(Options):
    """What stands in ``program.toml``."""

    protocol: int = Field(description="1.")
    name: str = Field(description="What rows and messages call the program.")
    command: tuple[Word, ...] = Field(
        min_length=1, max_length=100, description="argv in the program's folder, without a shell."
    )
    sources: tuple[Word, ...] = Field(
        default=("*.py",), min_length=1, max_length=100, description="Patterns of the files that cell ids depend on."
    )
    sharing: Sharing = Field(default=Sharing.EXACT, description="What it promises: exact, resume or none.")
    data_prefix: bool = Field(default=True, description="Whether the first epoch is the same for every D.")
    preload: tuple[str, ...] = Field(default=(), max_length=100, description="Modules imported once a worker.")
    launch: Literal["ranks", "one"] = Field(default="ranks", description="one: the program starts its own ranks.")
    env: tuple[str, ...] = Field(default=(), max_length=100, description="Variables that are passed on.")
    grace_s: Seconds = Field(default=60.0, description="Seconds between SIGTERM and SIGKILL.")
    silence_s: Seconds = Field(default=1800.0, description="Seconds without a line of metrics that count as hung.")
    weights: Word | None = Field(default=None, description="File of every state that holds the plain weights.")
    evaluates: tuple[Word, ...] = Field(default=(), max_length=100, description="Kinds of tasks that it can score.")

    @field_validator("protocol")
    @classmethod
    def _known_protocol(cls, number: int) -> int:
        if number != PROTOCOL:
            raise ValueError(f"is {number}, but this scalaw speaks protocol {PROTOCOL}; write protocol = {PROTOCOL}")
        return number

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("must be letters, digits, '.', '_' and '-', at most 64, beginning with a letter or digit")
        return name

    @field_validator("command")
    @classmethod
    def _no_nulls(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if any("\0" in word for word in command):
            raise ValueError("a word of the command holds a null character; remove it")
        return command

    @field_validator("sources")
    @classmethod
    def _inside(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in sources:
            if pattern.startswith(("/", "~")) or ".." in Path(pattern).parts or "**" in pattern:
                raise ValueError(f"{pattern!r} leads out of the program's folder or has a '**'; write model/*.py")
        return sources

    @field_validator("weights")
    @classmethod
    def _one_file(cls, weights: str | None) -> str | None:
        if weights is not None and (Path(weights).name != weights or not weights.endswith(".safetensors")):
            raise ValueError("must be the name of a .safetensors file that stands directly in every state")
        return weights

    @field_validator("env")
    @classmethod
    def _variables(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name[:40]!r} is no name of a variable; write HF_HOME")
            if _KEPT_FROM_IT.fullmatch(name):
                raise ValueError(f"{name} isn't passed on: credentials of stores and clusters are kept from programs")
        return names

    @field_validator("preload")
    @classmethod
    def _modules(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _MODULE.fullmatch(name):
                raise ValueError(f"{name[:40]!r} is no name of a module; write torch")
        return names


def read_manifest(path: Path) -> Manifest:
    """Return what a ``program.toml`` says.

    Raises
    ------
    BadInput
        One line an error: ``DIR/program.toml:3: command: what is wrong; the likely fix``.
    """
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: no TOML: {error}") from error
    except RecursionError:
        raise BadInput(f"{path}: nested deeper than any manifest; it has no tables") from None
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        lines = [
            f"{path}:{_line(text, each.location)}: {shown(each.location)}: {each.sentence}"
            for each in complaints_of(error)[:10]
        ]
        raise BadInput("\n".join(lines)) from None


def _text(path: Path) -> str:
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    except OSError as error:
        raise BadInput(
            f"{path} can't be read: {error.strerror}; `program` names the program.toml beside your trainer"
        ) from error
    if data is None:
        raise BadInput(f"{path} has more than {MOST_BYTES:,} bytes and is no manifest; name a program.toml")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: no UTF-8 at byte {error.start}; save it as UTF-8") from error


def _line(text: str, location: tuple[str | int, ...]) -> int:
    """Return the line on which a key of the manifest begins; 1 where it is missing."""
    key = re.escape(str(location[0])) if location else ""
    found = re.search(rf"""^[ \t]*["']?{key}["']?[ \t]*=""", text, re.MULTILINE) if key else None
    return text.count("\n", 0, found.start()) + 1 if found else 1
