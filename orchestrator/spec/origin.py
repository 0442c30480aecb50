"""Where a sweep was read, for messages about what only planning can find wrong."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.spec.document import Document
from orchestrator.spec.keypath import KeyPath, shown


@dataclass(frozen=True, eq=False)
class Origin:
    """The document behind a sweep; no part of what the sweep says, so that all are equal."""

    document: Document | None = None

    def at(self, path: KeyPath, name: str) -> str:
        """Return ``sweep.yaml:12: grid.params[2]``, with ``name`` for the place where there is no document."""
        place = name if self.document is None else self.document.place(path)[0]
        return f"{place}: {shown(path)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return 0
