"""Which cells have a row, from the names of the parts alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.store.blobs import Blobs

FOLDER = "results"
_COMPACTED = re.compile(rf"{FOLDER}/compacted-[0-9a-f]+\.parquet")
_DIGEST = re.compile(
    r"(results/compacted-(?=[0-9a-f]{32}\.)|fits/[0-9TZ.]+-(?=[0-9a-f]{12}\.))(?P<digest>[0-9a-f]+)\.parquet"
)
_SINGLE = re.compile(rf"{FOLDER}/(?P<cell>[A-Za-z0-9_-]+)(?P<failed>\.failed)?\.parquet")


def part_key(cell_id: str, *, failed: bool) -> str:
    """Return the key of a cell's own part.

    Raises
    ------
    ValueError
        If the id can't be part of a key: a bug of the caller.
    """
    key = f"{FOLDER}/{cell_id}{'.failed' if failed else ''}.parquet"
    if "." in cell_id or _SINGLE.fullmatch(key) is None or cell_id.startswith("compacted-"):
        raise ValueError(f"not a cell id: {cell_id!r}")
    return key


def cell_of(key: str) -> tuple[str, bool]:
    """Return (cell id, whether it is a failure) of a cell's own part."""
    match = _SINGLE.fullmatch(key)
    if match is None:
        raise ValueError(f"not the key of a cell's part: {key!r}")
    return match["cell"], match["failed"] is not None


def is_compacted(key: str) -> bool:
    """Return whether a key is that of a part that holds many cells."""
    return _COMPACTED.fullmatch(key) is not None


def digest_of_name(key: str) -> str | None:
    """Return the first digits of the SHA-256 that a part's content had when it was named, if its name has them."""
    match = _DIGEST.fullmatch(key)
    return match["digest"] if match else None


@dataclass(frozen=True, slots=True)
class Listing:
    """Keys of the parts at one time.

    Attributes
    ----------
    ok, failed
        Cell id to the key of its own part, with its row or its failure row.
    compacted
        Keys of the parts that hold many cells, sorted.
    """

    ok: dict[str, str]
    failed: dict[str, str]
    compacted: list[str]

    @classmethod
    def take(cls, blobs: Blobs) -> Listing:
        """List the parts; no cell that had a row when this was called is missed.

        Compaction deletes a cell's own part once a compacted part holds its row, and never deletes a compacted
        part. So the compacted parts are listed after the others: a part that vanished before the first listing came
        by is in a compacted part that the second one sees.
        """
        ok: dict[str, str] = {}
        failed: dict[str, str] = {}
        for key in blobs.list(FOLDER):
            match = _SINGLE.fullmatch(key)
            if match is not None and _COMPACTED.fullmatch(key) is None:
                (failed if match["failed"] else ok)[match["cell"]] = key
        return cls(ok, failed, [key for key in blobs.list(FOLDER) if _COMPACTED.fullmatch(key)])
