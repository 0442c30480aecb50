"""Where a value stands in the document: ``("grid", "params", 2)``, shown to people as ``grid.params[2]``."""

from __future__ import annotations

import re

KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]{0,63}", re.ASCII)


def shown(path: KeyPath) -> str:
    """Return a key path as people write it; unusual keys are quoted and cut."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if _PLAIN_KEY.fullmatch(part) else quoted(part)
            text += f".{key}" if text else key
    return text


def keys_alone(path: KeyPath, limit: int = 4) -> KeyPath:
    """Return the first keys of a path, up to the first list: for faults whose entry isn't sure."""
    entry = next((i for i, part in enumerate(path) if isinstance(part, int)), limit)
    return path[: min(entry, limit)]


def quoted(value: object, limit: int = 40) -> str:
    """Return a value as it may stand inside one line of a message: escaped, and cut after ``limit`` characters."""
    text = value[: limit + 1] if isinstance(value, str) else str(value)[: limit + 1]
    cut = text if len(text) <= limit else f"{text[:limit]}…"
    return repr(cut) if isinstance(value, str) else cut
