"""The code of a plug-in as data: read once, named by its digest, sent to wherever it is to run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import BadInput

#: The module that is looked through for plug-ins; in a folder it has this name, a single file is taken for it.
ENTRY: Final = "plugin.py"
#: Code, not data: what is larger belongs into a package.
MOST_BYTES: Final = 1_000_000
MOST_FILES: Final = 200
#: Folders of Python's and of tools.
PASSED_OVER: Final = frozenset({"__pycache__", "node_modules", "venv", "env"})


@dataclass(frozen=True)
class PluginCode:
    """One plug-in.

    Parameters
    ----------
    name
        What it was given as: ``my_model.py``, or a folder's name. It is no part of its identity.
    files
        Source text by path below the plug-in, sorted; one of them is ``plugin.py``.
    """

    name: str
    files: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of paths and texts."""
        return hashlib.sha256(json.dumps(self.files, separators=(",", ":")).encode()).hexdigest()

    @property
    def package(self) -> str:
        """Name of the package that its modules are imported as, the same in every process."""
        return f"scalaw_plugin_{self.digest[:16]}"

    def shown(self, path: str) -> str:
        """Return how tracebacks name one of its files."""
        return f"{self.name}/{path}" if len(self.files) > 1 or not self.name.endswith(".py") else self.name

    def files_at(self, place: str) -> list[tuple[str, str]]:
        """Return path and text of each file where the plug-in lies at a place, so that `read_plugin` finds it there."""
        if place.endswith(".py"):
            return [(place, text) for _, text in self.files]
        return [(f"{place}/{path}", text) for path, text in self.files]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary."""
        return {"name": self.name, "files": [list(file) for file in self.files]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> PluginCode:
        """Return the plug-in that a dictionary tells of."""
        return cls(document["name"], tuple((path, text) for path, text in document["files"]))


def read_plugin(path: str | os.PathLike[str]) -> PluginCode:
    """Read a plug-in: a Python file, or a folder with ``plugin.py`` and what that imports as ``from .module``.

    Raises
    ------
    BadInput
        If it isn't there, is no Python, or is too large.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        if not (place / ENTRY).is_file():
            raise BadInput(f"{path} holds no {ENTRY}: name the file, or give the folder one")
        found = sorted((file.relative_to(place).as_posix(), file) for file in _sources(place))
    elif place.is_file():
        if place.suffix != ".py":
            raise BadInput(f"{path} is no Python file (.py), nor a folder with {ENTRY}")
        found = [(ENTRY, place)]
    else:
        raise BadInput(f"{path} doesn't exist: a plug-in is a Python file, or a folder with {ENTRY}")
    total_bytes = sum(file.stat().st_size for _, file in found)
    if total_bytes > MOST_BYTES or len(found) > MOST_FILES:
        raise BadInput(
            f"{path} holds {total_bytes:,} bytes of Python in {len(found):,} files, more than a plug-in "
            f"({MOST_BYTES:,} bytes, {MOST_FILES}): give it a folder of its own, or make it a package"
        )
    return PluginCode(place.resolve().name, tuple((name, _text(file)) for name, file in found))


def _sources(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in PASSED_OVER)
        yield from (Path(where, name) for name in sorted(names) if name.endswith(".py") and not name.startswith("."))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is no UTF-8 text: {error.reason} at byte {error.start}") from error
