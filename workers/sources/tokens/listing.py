"""Paths → the files of each split, in an order that is the same on every machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import BadOption
from workers.sources.staging import on_this_node
from workers.sources.tokens.shard_file import COLUMNS, FLAT

#: What a folder's validation and test files are called: these words stand at the beginning of a name or between its
#: separators, as in ``val.bin``, ``fineweb_val_000000.bin``, ``test-00.npy``.
WORDS = {"val": ("val", "valid", "validation"), "test": ("test",)}


class Found(NamedTuple):
    """A token file, and what it and the folders around it are called below the path that names them."""

    path: Path
    names: tuple[str, ...]


def files_of(paths: Sequence[str], *, key: str) -> list[Found]:
    """Return the token files that some paths name, those of a folder sorted by their names.

    Raises
    ------
    BadOption
        If a path isn't there, or a folder holds no token file.
    """
    found = []
    for path in paths:
        root = on_this_node(path, key=key)
        if root.is_file():
            if root.suffix not in (*FLAT, *COLUMNS):
                raise BadOption("data", key, f"{path} is no token file: they end in {', '.join((*FLAT, *COLUMNS))}")
            found.append(Found(root, (root.stem,)))
            continue
        if not root.is_dir():
            raise BadOption("data", key, f"{path} doesn't exist: give a token file or a folder of them")
        inside = _inside(root)
        if not inside:
            raise BadOption(
                "data",
                key,
                f"{path} holds no token file ({', '.join((*FLAT, *COLUMNS))}): make some with scalaw tokenize",
            )
        found += [Found(file, (file.stem, *file.relative_to(root).parts[-2::-1])) for file in inside]
    return found


def by_split(files: Sequence[Found]) -> dict[str, list[Path]]:
    """Return the files of ``train``, ``val`` and ``test`` by what they, or folders below a named one, are called."""
    found: dict[str, list[Path]] = {"train": [], "val": [], "test": []}
    for file in files:
        found[split_named(file.names)].append(file.path)
    return found


def split_named(names: Sequence[str]) -> str:
    """Return the split that the first of some names that tells of one tells of; ``train`` where none does."""
    for name in names:
        words = name.lower().replace("-", "_").replace(".", "_").split("_")
        for split, known in WORDS.items():
            if any(word in known for word in words):
                return split
    return "train"


def _inside(root: Path) -> list[Path]:
    found = []
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        kept = (name for name in sorted(names) if not name.startswith((".", "token_bytes")))
        found += [file for name in kept if (file := Path(folder, name)).suffix in (*FLAT, *COLUMNS)]
    return found
