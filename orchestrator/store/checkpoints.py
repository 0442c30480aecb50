"""States of stages that still have work hanging on them: of each stage how it was left, begun or done (I6)."""

from __future__ import annotations

import re
from enum import Enum

from orchestrator.store.blobs import Blobs

FOLDER = "checkpoints"
_STAGE = re.compile(r"[0-9a-f]+")
_KEY = re.compile(rf"{FOLDER}/(?P<stage>[0-9a-f]+)/(?P<progress>begun|done)")


class DamagedCheckpoint(ValueError):
    """Bytes that are no state of a stage, with the reason; the stage starts from its parent instead."""


class Progress(Enum):
    """How far a stage had come when its state was written.

    A reader has to know: a merge that is done has no open windows to merge, and a compression that is done would be
    applied a second time.
    """

    BEGUN = "begun"
    DONE = "done"


class Checkpoints:
    """Blobs ``checkpoints/STAGE_ID/begun`` and ``checkpoints/STAGE_ID/done``; what the bytes mean the engine knows.

    Guarantees: a reader sees the whole of one checkpoint, the old or the new one, whatever writer is killed when (I5);
    of several writers the last one wins; when :meth:`save` returns, the bytes survive a power cut; where a stage is
    done, what it was in its middle counts no more.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    def save(self, stage_id: str, progress: Progress, data: bytes) -> None:
        """Write a stage's checkpoint over an earlier one of the same progress; a stage that is done is no more begun.

        Parameters
        ----------
        data
            Its state, as the engine packed it.

        Raises
        ------
        ValueError
            If it is no stage id: a bug of the caller.
        Unreachable
            If it can't be written; an earlier checkpoint stays.
        """
        self.blobs.replace(_key(stage_id, progress), data)
        if progress is Progress.DONE:
            self.blobs.delete(_key(stage_id, Progress.BEGUN))

    def load(self, stage_id: str) -> tuple[Progress, bytes] | None:
        """Return how a stage was left, done before begun, or ``None`` where there is no checkpoint."""
        for progress in (Progress.DONE, Progress.BEGUN):
            try:
                return progress, self.blobs.get(_key(stage_id, progress))
            except FileNotFoundError:
                continue
        return None

    def drop(self, stage_id: str) -> None:
        """Remove a stage's checkpoints; where there are none, that is no error."""
        for progress in (Progress.BEGUN, Progress.DONE):  # in this order, so that a reader never finds the older one
            self.blobs.delete(_key(stage_id, progress))

    def kept(self) -> dict[str, Progress]:
        """Return the stages that have a checkpoint and how they were left; other files are passed over.

        Among these are checkpoints of a scalaw that did not say whether their stage was done: nothing goes on from
        them.
        """
        found: dict[str, Progress] = {}
        for key in self.blobs.list(FOLDER):
            match = _KEY.fullmatch(key)
            if match is not None and found.get(match["stage"]) is not Progress.DONE:
                found[match["stage"]] = Progress(match["progress"])
        return found


def _key(stage_id: str, progress: Progress) -> str:
    if _STAGE.fullmatch(stage_id) is None:
        raise ValueError(f"not a stage id: {stage_id!r}")
    return f"{FOLDER}/{stage_id}/{progress.value}"
