"""States of stages that still have work hanging on them: of each stage how it was left, begun or done (I6)."""

from __future__ import annotations

import hashlib
import re
from enum import Enum

from orchestrator.store.blobs import Blobs, UnreadableBlob

FOLDER = "checkpoints"
_STAGE = re.compile(r"[0-9a-f]+")
_KEY = re.compile(
    rf"{FOLDER}/(?P<stage>[0-9a-f]+)/(?P<progress>begun|done)-(?P<step>[0-9]+)(-(?P<digest>[0-9a-f]{{64}}))?"
)
#: How a scalaw before this layout called them: nothing says whether the stage was done, so nothing goes on from them.
_OLDER = re.compile(rf"{FOLDER}/[0-9a-f]+(/(begun|done))?")
#: How often a reader looks again because a later checkpoint took the place of the one that was listed.
_ATTEMPTS = 8


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
    """Blobs ``checkpoints/STAGE_ID/begun-STEP-SHA256`` and ``…/done-…``; what the bytes mean the engine knows.

    Guarantees: no bit that flipped in a checkpoint reaches a reader, who sees the whole of one checkpoint, the old or
    the new one, whatever writer is killed when (I5); when :meth:`save` returns, the bytes survive a power cut; of
    several checkpoints of a stage the furthest counts, one that is done before all that are begun.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    def save(self, stage_id: str, progress: Progress, step: int, data: bytes) -> None:
        """Write a stage's checkpoint, and take those away that it goes beyond.

        Parameters
        ----------
        step
            Steps that are done, counted as the stage counts them.
        data
            Its state, as the engine packed it.

        Raises
        ------
        ValueError
            If it is no stage id: a bug of the caller.
        Unreachable
            If it can't be written; an earlier checkpoint stays.
        """
        key = f"{_folder(stage_id)}/{progress.value}-{step:012d}-{hashlib.sha256(data).hexdigest()}"
        self.blobs.replace(key, data)
        for older in self._keys(stage_id):
            if _rank(older) < _rank(key):
                self.blobs.delete(older)

    def load(self, stage_id: str) -> tuple[Progress, bytes] | None:
        """Return how a stage was left, or ``None`` where there is no checkpoint.

        Raises
        ------
        DamagedCheckpoint
            If its bytes are not those that were saved.
        """
        for _ in range(_ATTEMPTS):
            keys = self._keys(stage_id)
            if not keys:
                return None
            try:
                return _progress(keys[-1]), self.inspect(keys[-1])
            except FileNotFoundError:  # a later one took its place, or another driver dropped it: look again
                continue
        return None  # a listing that names what is not there

    def inspect(self, key: str) -> bytes:
        """Return the bytes of one checkpoint.

        Raises
        ------
        DamagedCheckpoint
            If they are not those that were saved.
        FileNotFoundError
            If it is gone.
        """
        try:
            data = self.blobs.get(key)
        except UnreadableBlob as failure:
            raise DamagedCheckpoint(str(failure)) from failure
        digest = digest_in(key)
        if digest is not None and hashlib.sha256(data).hexdigest() != digest:
            raise DamagedCheckpoint("its checksum differs from what was written")
        return data

    def keys(self) -> list[str]:
        """Return the keys of all checkpoints."""
        return [key for key in self.blobs.list(FOLDER) if _KEY.fullmatch(key)]

    def reached(self, stage_id: str) -> tuple[bool, int] | None:
        """Return whether a stage is kept as done, and at which step, or ``None`` where there is no checkpoint."""
        keys = self._keys(stage_id)
        return _rank(keys[-1])[:2] if keys else None

    def drop(self, stage_id: str) -> None:
        """Remove a stage's checkpoints; where there are none, that is no error."""
        for key in self._keys(stage_id):  # the furthest last, so that a reader never finds an older one
            self.blobs.delete(key)

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

    def _keys(self, stage_id: str) -> list[str]:
        """Return the keys of a stage's checkpoints, the furthest last."""
        return sorted((key for key in self.blobs.list(_folder(stage_id)) if _KEY.fullmatch(key)), key=_rank)


def read_key(key: str) -> tuple[str, Progress, int] | None:
    """Return the stage, how it was left and at which step, of a checkpoint's key; ``None`` for other keys."""
    match = _KEY.fullmatch(key)
    return None if match is None else (match["stage"], Progress(match["progress"]), int(match["step"]))


def is_older_layout(key: str) -> bool:
    """Return whether a key is that of a checkpoint of an older scalaw, which nothing can go on from."""
    return _OLDER.fullmatch(key) is not None


def _folder(stage_id: str) -> str:
    if _STAGE.fullmatch(stage_id) is None:
        raise ValueError(f"not a stage id: {stage_id!r}")
    return f"{FOLDER}/{stage_id}"


def _progress(key: str) -> Progress:
    return Progress.DONE if _rank(key)[0] else Progress.BEGUN


def digest_in(key: str) -> str | None:
    """Return the SHA-256 that a checkpoint had when it was saved; ``None`` for one of an older scalaw."""
    match = _KEY.fullmatch(key)
    return match["digest"] if match else None


def _rank(key: str) -> tuple[bool, int, str]:
    """Return what orders a stage's checkpoints.

    Two workers that came equally far left the same state; the digest decides, so that they don't delete each other's.
    """
    match = _KEY.fullmatch(key)
    assert match is not None
    return match["progress"] == Progress.DONE.value, int(match["step"]), match["digest"] or ""
