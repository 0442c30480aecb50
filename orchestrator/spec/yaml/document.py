"""Plain data out of a YAML text, with the place of every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.spec.yaml.key_path import KeyPath


@dataclass(frozen=True)
class Mark:
    """A place in a text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """A sweep file as plain data.

    Parameters
    ----------
    name
        What messages call the file.
    data
        Mappings, lists and scalars. What an alias repeats is one shared object, so nothing in it may be changed.
    marks
        Key path to its place in the text, or to the override that set it. What stands inside an alias has none of
        its own.
    """

    name: str
    data: Any
    marks: Mapping[KeyPath, Mark | str]

    def place(self, path: KeyPath) -> tuple[str, int]:
        """Return how a message names the place of a path (``sweep.yaml:12``), and its line for sorting.

        A path that isn't in the text (a missing key, what an alias repeats) has the place of the nearest one around it.
        """
        while path and path not in self.marks:
            path = path[:-1]
        mark = self.marks.get(path, Mark(1, 1))
        return (mark, 1 << 30) if isinstance(mark, str) else (f"{self.name}:{mark.line}", mark.line)

    def written(self, location: KeyPath) -> KeyPath:
        """Return the part of a validator's location that the text has; what a model adds on its way is left out."""
        node: Any = self.data
        path: list[str | int] = []
        for part in location:
            has = part in node if isinstance(node, dict) else isinstance(node, list) and part in range(len(node))
            if has:
                node = node[part]
                path.append(part)
        return tuple(path)
