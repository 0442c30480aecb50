"""A state of a program: a folder of files, which travels as their bytes and is kept as one safetensors file.

So it is shared, spilled, checkpointed and lost as the states of our own families are.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from orchestrator.programs.exchange import BadAnswer
from orchestrator.store.checkpoints import DamagedCheckpoint
from workers.safetensors_metadata import metadata_of

#: Rises with every change that an older scalaw would misread.
FORMAT: Final = 1
METADATA_KEY: Final = "scalaw_program_state"
#: A state travels in memory: what is larger belongs to a trainer that shards it itself.
MOST_BYTES: Final = 32 * 2**30
MOST_FILES: Final = 10_000
#: Begins the names of arrays in a checkpoint that are no files.
_OURS: Final = "/"
Files = tuple[tuple[str, np.ndarray], ...]


@dataclass(frozen=True)
class ProgramState:
    """Where a program stands.

    Parameters
    ----------
    step
        Steps done.
    files
        Path below the state's folder and bytes (uint8) of each file, sorted; empty before the first step, and where the
        program has scored the end of its path, which nothing goes on from.
    wall_s
        Seconds along the path from initialisation.
    done
        Whether the stage that left it has ended.
    result
        What the program answered, where it has scored this state.
    sums
        Open ``wsm`` windows: float64 sums of its weights by the length of their cell.
    averaged
        The weights file (uint8) that takes the place of the state's: the mean of a window.
    model, facts
        What compressions made of the weights that may be compressed: arrays by name, and what each of them did.
    before
        What the program answered of the model before it was compressed, where it had been asked.
    trained
        Of one that we made: the last stage before it that took steps.
    curve
        In the middle of a stage: what it told of the steps before.
    """

    step: int
    files: Files
    wall_s: float = 0.0
    done: bool = True
    result: dict[str, Any] | None = None
    sums: Mapping[int, Mapping[str, np.ndarray]] = field(default_factory=dict)
    averaged: np.ndarray | None = None
    model: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: tuple[dict[str, Any], ...] = ()
    before: dict[str, Any] | None = None
    trained: str = ""
    curve: dict[str, Any] | None = None

    @property
    def nbytes(self) -> int:
        """Size of its files and of what we made of them; never 0, since the answer of a scored one travels as well."""
        return sum(data.nbytes for _, data in self.files) + sum(data.nbytes for data in self._ours().values()) or 1

    def _ours(self) -> dict[str, np.ndarray]:
        """Return what is no file of the program's, under names that no file below a folder has."""
        found = {f"{_OURS}model/{name}": array for name, array in self.model.items()}
        for length, sums in self.sums.items():
            found |= {f"{_OURS}sums/{length}/{name}": array for name, array in sums.items()}
        return found if self.averaged is None else {**found, f"{_OURS}averaged": self.averaged}

    def write(self, folder: Path) -> None:
        """Write its files below a new folder, which nobody may write to afterwards."""
        folder.mkdir(parents=True)
        for name, data in self.files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.data)
            path.chmod(0o444)


def read_folder(folder: Path) -> Files:
    """Return the files of a state's folder.

    Raises
    ------
    BadAnswer
        If it holds a link or anything but plain files and folders, or more than a state may.
    """
    found: list[tuple[str, np.ndarray]] = []
    left = MOST_BYTES
    for path in _files(folder):
        if len(found) == MOST_FILES:
            raise BadAnswer(f"the state {folder.name} has more than {MOST_FILES:,} files")
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            size = os.fstat(handle).st_size
            left -= size
            if left < 0:
                raise BadAnswer(f"the state {folder.name} has more than {MOST_BYTES:,} bytes")
            data = np.fromfile(file, dtype=np.uint8, count=size)
        found.append((path.relative_to(folder).as_posix(), data))
    if not found:
        raise BadAnswer(f"the state {folder.name} is empty")
    return tuple(sorted(found, key=lambda each: each[0]))


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            mode = entry.stat(follow_symlinks=False).st_mode
            try:
                entry.name.encode()
            except UnicodeEncodeError:
                raise BadAnswer(f"the state {folder.name} has a file whose name is no UTF-8") from None
            if stat.S_ISDIR(mode):
                yield from _files(Path(entry.path))
            elif stat.S_ISREG(mode):
                yield Path(entry.path)
            else:
                what = "a link" if stat.S_ISLNK(mode) else "no plain file"
                raise BadAnswer(f"the state {folder.name} holds {what}: {entry.name}; only files and folders are taken")


def to_bytes(state: ProgramState) -> bytes:
    """Return a state as one safetensors file; equal states give equal bytes."""
    facts: dict[str, Any] = {"format": FORMAT, "step": state.step, "wall_s": state.wall_s}
    facts |= {"done": state.done, "result": state.result, "curve": state.curve}
    if state.trained:
        facts["trained"] = state.trained
    if state.facts:
        facts |= {"facts": list(state.facts), "before": state.before}
    arrays = {**dict(state.files), **state._ours()}
    facts["sha256"] = _digest(facts, tuple(sorted(arrays.items())))
    return save(arrays, {METADATA_KEY: json.dumps(facts, sort_keys=True)})


def from_bytes(data: bytes) -> ProgramState:
    """Return the state in a checkpoint.

    Raises
    ------
    DamagedCheckpoint
        If the bytes are truncated or changed, another program's, or of another scalaw.
    """
    try:
        arrays = load(data)
        facts: dict[str, Any] = json.loads(metadata_of(data)[METADATA_KEY])
        known = facts["format"] == FORMAT
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedCheckpoint(f"no state of a program: {error}") from error
    if not known:
        raise DamagedCheckpoint(f"a state of a program in format {facts['format']}, and this scalaw reads {FORMAT}")
    if facts.pop("sha256", None) != _digest(facts, tuple(sorted(arrays.items()))):
        raise DamagedCheckpoint("a damaged checkpoint: its checksum differs from what was written")
    ours = {name: arrays.pop(name) for name in list(arrays) if name.startswith(_OURS)}
    files = tuple(sorted(arrays.items()))
    for name, array in files:
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts or array.dtype != np.uint8:
            raise DamagedCheckpoint(f"no state of a program: it holds {name!r}")
    sums: dict[int, dict[str, np.ndarray]] = {}
    for name, array in _below(ours, "sums").items():
        length, _, weight = name.partition("/")
        sums.setdefault(int(length), {})[weight] = array
    return ProgramState(
        facts["step"],
        files,
        facts["wall_s"],
        facts["done"],
        facts["result"],
        dict(sorted(sums.items())),
        ours.get(f"{_OURS}averaged"),
        _below(ours, "model"),
        tuple(facts.get("facts", ())),
        facts.get("before"),
        facts.get("trained", ""),
        facts.get("curve"),  # an older scalaw wrote none
    )


def _below(arrays: Mapping[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    prefix = f"{_OURS}{kind}/"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _digest(facts: dict[str, Any], files: Files) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, data in files:
        digest.update(json.dumps([name, data.size]).encode())
        digest.update(np.ascontiguousarray(data).data.cast("B") if data.size else b"")
    return digest.hexdigest()
