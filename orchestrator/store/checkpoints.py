"""States of stages that still have work hanging on them: one blob a stage, the last one saved (I6)."""

from __future__ import annotations

import re

from orchestrator.store.blobs import Blobs

FOLDER = "checkpoints"
_NAME = re.compile(r"[0-9a-f]+")


class DamagedCheckpoint(ValueError):
    """Bytes that are no state of a stage, with the reason; the stage starts from its parent instead."""


class Checkpoints:
    """Blobs ``checkpoints/STAGE_ID``; what the bytes mean is the engine's matter.

    Guarantees: a reader sees the whole of one checkpoint, the old or the new one, whatever writer is killed when (I5);
    of several writers of one stage the last one wins; when :meth:`save` returns, the bytes survive a power cut.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    def save(self, name: str, data: bytes) -> None:
        """Write a stage's checkpoint over an earlier one.

        Parameters
        ----------
        name
            The stage's id.
        data
            Its state, as the engine packed it.

        Raises
        ------
        ValueError
            If the name is no stage id: a bug of the caller.
        Unreachable
            If it can't be written; an earlier checkpoint stays.
        """
        self.blobs.replace(_key(name), data)

    def load(self, name: str) -> bytes | None:
        """Return a stage's checkpoint, or ``None`` where there is none."""
        try:
            return self.blobs.get(_key(name))
        except FileNotFoundError:
            return None

    def drop(self, name: str) -> None:
        """Remove a stage's checkpoint; one that is not there is no error."""
        self.blobs.delete(_key(name))

    def names(self) -> set[str]:
        """Return the ids of the stages that have a checkpoint; other files are passed over."""
        keys = (key.removeprefix(f"{FOLDER}/") for key in self.blobs.list(FOLDER))
        return {name for name in keys if _NAME.fullmatch(name)}


def _key(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"not a stage id: {name!r}")
    return f"{FOLDER}/{name}"
