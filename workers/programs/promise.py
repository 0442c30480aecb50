"""One thing that a program promises, and what was seen of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.programs.exchange import BadAnswer
from orchestrator.programs.manifest import Sharing
from workers.programs.trial import TrialFailed


@dataclass(frozen=True)
class Promise:
    """One thing that was tried.

    Parameters
    ----------
    name
        What was promised.
    level
        The level that needs it; ``None``: without it no figure means anything.
    broken
        What was seen instead; empty where it was kept.
    """

    name: str
    level: Sharing | None
    broken: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what is shown."""
        return {
            "promise": self.name,
            "kept": not self.broken,
            "needed_for": self.level.value if self.level else "any figure",
            "seen": self.broken or None,
        }


def tried(name: str, level: Sharing | None, seen: Callable[[], str]) -> Iterator[Promise]:
    """Give a promise with what is seen of it; a trial that fails is a promise broken."""
    try:
        yield Promise(name, level, seen())
    except (TrialFailed, BadAnswer) as failure:
        yield Promise(name, level, str(failure))
