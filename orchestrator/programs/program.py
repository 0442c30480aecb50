"""A user's own trainer as planning and workers know it: manifest, folder, sources and their digest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from orchestrator.errors import BadInput
from orchestrator.programs.manifest import Manifest, Sharing, read_manifest

#: Sources are code; data and weights belong beside them, not among them.
MOST_BYTES: Final = 10_000_000
MOST_FILES: Final = 2_000


class SourcesChanged(Exception):
    """The sources of a program are not those that the sweep was planned with."""


@dataclass(frozen=True)
class Program:
    """A program that a person consented to run, as it was when that was said.

    Parameters
    ----------
    manifest
        What ``program.toml`` says.
    folder
        Where it stands, in full.
    below
        The same from the working folder, where it lies below that: a job's other nodes have a copy of it.
    sources
        Path and bytes of every source file, sorted.
    level
        How far its cells share: what it promises, or what was left of that when it was tried.
    """

    manifest: Manifest
    folder: str
    below: str | None
    sources: tuple[tuple[str, bytes], ...]
    level: Sharing

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the command and all sources: what a cell's result depends on."""
        document = {
            "protocol": self.manifest.protocol,
            "command": list(self.manifest.command),
            "launch": self.manifest.launch,
            "sources": [[name, hashlib.sha256(data).hexdigest()] for name, data in self.sources],
            **({} if self.manifest.weights is None else {"weights": self.manifest.weights}),
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def lowered(self, level: Sharing) -> Program:
        """Return the program with another level of sharing."""
        return replace(self, level=level)

    def place(self, spare: Path) -> Path:
        """Return the folder in which its command runs on this machine.

        That is where it was planned, or the copy of the working folder that came with a job. Where neither is there, as
        on another node, its sources are written to a spare folder.

        Raises
        ------
        SourcesChanged
            If there is a folder, with other sources.
        """
        there = [Path(self.folder), *([Path(self.below)] if self.below is not None else [])]
        there = [folder for folder in there if folder.is_dir()]
        for folder in there:
            if sources_in(folder, self.manifest.sources) == self.sources:
                return folder
        if there:
            raise SourcesChanged(
                f"the sources of {self.manifest.name} in {there[0]} are not those that the sweep was planned with: run "
                "it again"
            )
        for name, data in self.sources:
            (spare / name).parent.mkdir(parents=True, exist_ok=True)
            (spare / name).write_bytes(data)
        return spare


def read_program(path: str | os.PathLike[str]) -> Program:
    """Return the program behind a ``program.toml``; whoever calls this consents to its command being run.

    Raises
    ------
    BadInput
        If the manifest is wrong, its command isn't there, or no source matches.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        place = place / "program.toml"
    manifest = read_manifest(place)
    folder = place.resolve().parent
    sources = sources_in(folder, manifest.sources)
    if not sources:
        raise BadInput(
            f"{place}: sources: no file in {folder} matches {', '.join(manifest.sources)}; list the files that the "
            "training depends on"
        )
    _check_command(place, folder, manifest)
    below = folder.relative_to(Path.cwd()).as_posix() if folder.is_relative_to(Path.cwd()) else None
    return Program(manifest, str(folder), below, sources, manifest.sharing)


def sources_in(folder: Path, patterns: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """Return path and bytes of each file in a folder that a pattern matches.

    Raises
    ------
    BadInput
        If they are too many or too large, or one can't be read.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        for file in folder.glob(pattern):
            if stat.S_ISREG(file.stat().st_mode) and "__pycache__" not in file.parts:
                found[file.relative_to(folder).as_posix()] = file
    total = sum(file.stat().st_size for file in found.values())
    if len(found) > MOST_FILES or total > MOST_BYTES:
        raise BadInput(
            f"the sources in {folder} are {len(found):,} files of {total:,} bytes, more than code has ({MOST_FILES:,}, "
            f"{MOST_BYTES:,}); name the Python files alone"
        )
    try:
        return tuple((name, found[name].read_bytes()) for name in sorted(found))
    except OSError as error:
        raise BadInput(f"a source in {folder} can't be read: {error.strerror} ({error.filename})") from error


def _check_command(place: Path, folder: Path, manifest: Manifest) -> None:
    """Refuse a command that isn't there, and a script that its interpreter would not find."""
    first, *rest = manifest.command
    if first not in ("python", "python3"):
        there = (folder / first).is_file() if "/" in first else shutil.which(first) is not None
        if not there:
            raise BadInput(f"{place}: command: there is no {first!r}, neither in {folder} nor on the PATH")
    elif rest and rest[0].endswith(".py") and not (folder / rest[0]).is_file():
        raise BadInput(f"{place}: command: there is no {rest[0]} in {folder}; name the script that trains")
    if manifest.preload and (first not in ("python", "python3") or not rest or not rest[0].endswith(".py")):
        raise BadInput(f"{place}: preload: needs a command of the form ['python', 'train.py'], which it forks into")
