"""Answers of other processes that are kept in a folder of this user's, by all that they depend on.

They spare a second asking and nothing hangs on them: what can't be read or written is asked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def cache_folder(kind: str) -> Path:
    """Return the folder of one kind of answers below the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "scalaw" / kind


@dataclass(frozen=True)
class Remembered:
    """Answers in one folder, which nobody else may look into.

    Parameters
    ----------
    folder
        Made when the first answer is kept.
    most_bytes
        What is larger was not kept by us.
    """

    folder: Path
    most_bytes: int

    def key(self, question: Any) -> str:
        """Return the name of an answer: a digest of what it depends on, which is JSON-able."""
        return hashlib.sha256(json.dumps(question, sort_keys=True, allow_nan=False).encode()).hexdigest()

    def recall(self, key: str) -> Any:
        """Return an answer, or ``None`` where it was not kept, or is damaged."""
        try:
            handle = os.open(self.folder / f"{key}.json", os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(handle, "rb") as file:
                data = file.read(self.most_bytes + 1)
            return json.loads(data) if len(data) <= self.most_bytes else None
        except (OSError, ValueError, RecursionError):
            return None

    def keep(self, key: str, answer: Any) -> None:
        """Keep an answer; a reader finds it whole or not at all, however many write it at once."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".half", delete=False) as half:
                json.dump(answer, half)
            Path(half.name).rename(self.folder / f"{key}.json")
