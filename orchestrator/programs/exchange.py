"""What goes to a program and what comes back: small JSON files, written whole and read with limits."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

#: Largest JSON that is taken from a program.
MOST_BYTES: Final = 1_000_000


class BadAnswer(Exception):
    """What a program answered can't be taken; it would answer the same again."""


class NotANumber(BadAnswer):
    """An answer holds NaN or an infinity."""


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a task, under another name first: what has its final name is whole."""
    before = path.with_name(f".{path.name}.part")
    before.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    before.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a program's.

    Raises
    ------
    BadAnswer
        If it isn't there, is a link or no file, has more than `MOST_BYTES`, or is no object of finite numbers.
    """
    try:
        data = read_file(path, MOST_BYTES)
    except FileNotFoundError:
        raise BadAnswer(f"the program ended with exit 0 and left no {path.name}") from None
    try:
        document = json.loads(data, parse_constant=_refused)
    except NotANumber:
        raise NotANumber(f"{path.name} holds NaN or an infinity; null stands for a loss that is no number") from None
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"{path.name} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadAnswer(f"{path.name} is no JSON object")
    return document


def read_file(path: Path, most: int) -> bytes:
    """Return the bytes of a plain file.

    Raises
    ------
    BadAnswer
        If it is a link or no file, or has more than ``most`` bytes.
    FileNotFoundError
        If there is none.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadAnswer(f"{path.name} is no plain file: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise BadAnswer(f"{path.name} is no plain file")
        data = file.read(min(most, about.st_size) + 1)  # as much is set aside before it is read
    if len(data) > most:
        raise BadAnswer(f"{path.name} has more than {most:,} bytes")
    return data


def finite(value: Any) -> float | None:
    """Return a number of an answer as a float; ``None`` where it is none, or too large for one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _refused(word: str) -> float:
    raise NotANumber(word)
