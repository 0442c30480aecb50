"""Reading a sweep file: bounded, and only UTF-8 text."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.errors import BadInput

MAX_BYTES = 1_000_000


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a sweep file.

    Raises
    ------
    BadInput
        If it is missing, a folder, unreadable, above 1 MB or not UTF-8.
    """
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise BadInput(f"{name}: is a folder; give the sweep's YAML file") from None
    except FileNotFoundError:
        raise BadInput(f"{name}: no such file; check the path, or write one with `scalaw init`") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{name}: can't be read ({reason}); check the path and its permissions") from None
    if len(content) > MAX_BYTES:
        raise BadInput(f"{name}: larger than 1 MB; a sweep is a few kilobytes, is this the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from None
