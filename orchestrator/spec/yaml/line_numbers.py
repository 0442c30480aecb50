"""Line numbers of a sweep that is already read, for messages about what only planning can find wrong."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.spec.yaml.document import Document
from orchestrator.spec.yaml.key_path import KeyPath


@dataclass(frozen=True, eq=False)
class LineNumbers:
    """The document behind a sweep; no part of what the sweep says, so that all are equal."""

    document: Document | None = None

    def place(self, path: KeyPath, name: str) -> str:
        """Return ``sweep.yaml:12``, or ``name`` where there is no document."""
        return name if self.document is None else self.document.place(path)[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LineNumbers)

    def __hash__(self) -> int:
        return 0
