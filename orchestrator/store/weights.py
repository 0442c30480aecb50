"""Final weights of cells, kept on request: one model file a cell, and of the best so many.

A file's key says whose it is, the loss that was measured with it and its checksum, so a listing is all that it takes to
know which are the best: ``weights/kept/CELL-LOSS-SHA256.safetensors``, and ``weights/best-GROUP/…`` for those that make
room for better ones.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Final

from orchestrator.store.blobs import Blobs

FOLDER: Final = "weights"
#: Files that nothing makes room for.
KEPT: Final = "kept"
_KEY = re.compile(
    rf"{FOLDER}/(?P<group>{KEPT}|best-[0-9a-f]+)/(?P<cell>[0-9a-f]+)-(?P<loss>[0-9a-f]{{16}})-(?P<sha>[0-9a-f]{{64}})"
    r"\.safetensors"
)


class DamagedWeights(ValueError):
    """A model file whose bytes are not those that were kept."""


@dataclass(frozen=True, order=True)
class KeptWeights:
    """One model file in a store; the best come first."""

    val_loss: float
    cell_id: str
    key: str
    group: str


class Weights:
    """Model files of cells.

    Guarantees: a reader gets the bytes that were kept, or hears that they are damaged; of a group no better file is
    dropped for a worse one, whatever order workers come in.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs

    def keep(self, cell_id: str, val_loss: float, data: bytes, *, group: str = KEPT, most: int | None = None) -> bool:
        """Write a cell's model file, unless its group holds so many better ones; return whether it was written.

        Parameters
        ----------
        group
            ``kept``, or what `best_of` names.
        most
            Files that the group holds; those beyond are dropped, the worst first.
        """
        key = f"{FOLDER}/{group}/{cell_id}-{_loss_text(val_loss)}-{hashlib.sha256(data).hexdigest()}.safetensors"
        mine = KeptWeights(val_loss, cell_id, key, group)
        if most is not None and mine not in sorted([*self._in(group), mine])[:most]:
            return False
        self.blobs.replace(key, data)
        if most is not None:
            for worse in sorted(self._in(group))[most:]:
                self.blobs.delete(worse.key)
        return True

    def files(self) -> list[KeptWeights]:
        """Return what is kept, the best first."""
        return sorted(found for key in self.blobs.list(FOLDER) if (found := _read(key)) is not None)

    def find(self, cell_id: str) -> KeptWeights | None:
        """Return a cell's model file, or ``None`` where none was kept."""
        return next((one for one in self.files() if one.cell_id == cell_id), None)

    def load(self, kept: KeptWeights) -> bytes:
        """Return a file's bytes.

        Raises
        ------
        DamagedWeights
            If they are not those that were kept.
        FileNotFoundError
            If it made room for a better one meanwhile.
        """
        data = self.blobs.get(kept.key)
        match = _KEY.fullmatch(kept.key)
        assert match is not None
        if hashlib.sha256(data).hexdigest() != match["sha"]:
            raise DamagedWeights("its checksum differs from what was written")
        return data

    def _in(self, group: str) -> list[KeptWeights]:
        return [one for one in self.files() if one.group == group]


def best_of(sweep: str, task: str) -> str:
    """Return the group of the best cells of a sweep on one task."""
    return f"best-{hashlib.sha256(f'{sweep}/{task}'.encode()).hexdigest()[:16]}"


def _read(key: str) -> KeptWeights | None:
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    (loss,) = struct.unpack(">d", bytes.fromhex(match["loss"]))
    return KeptWeights(loss, match["cell"], key, match["group"])


def _loss_text(val_loss: float) -> str:
    return struct.pack(">d", val_loss).hex()
