"""A byte-level language data set out of pieces of text, each trained on or held back as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.planning.manifest import DataManifest
from workers.sources.hashed_split import SPLIT_RULE, split_of
from workers.sources.source import Dataset
from workers.sources.splits import ByteWindows, windows_in

#: Ends every piece; text doesn't hold it.
SEPARATOR = b"\0"


def byte_manifest(task: str, pieces: Iterable[bytes], *, context: int) -> DataManifest:
    """Return the manifest of the pieces, of which only hashes and sizes are kept in memory.

    Raises
    ------
    BadInput
        If a split has not one window.
    """
    return _manifest(task, {hashlib.sha256(piece).digest(): len(piece) for piece in pieces}, context)


def byte_dataset(task: str, pieces: Iterable[bytes], *, context: int) -> Dataset:
    """Return the data set of the pieces: equal pieces count once, and each split is ordered by hash.

    Raises
    ------
    BadInput
        If a split has not one window.
    """
    contents = {hashlib.sha256(piece).digest(): piece for piece in pieces}
    manifest = _manifest(task, {digest: len(piece) for digest, piece in contents.items()}, context)
    parts: dict[str, list[bytes]] = {"train": [], "val": [], "test": []}
    for digest in sorted(contents):
        parts[split_of(digest)] += (contents[digest], SEPARATOR)
    splits = {name: ByteWindows(np.frombuffer(b"".join(run), np.uint8), context) for name, run in parts.items()}
    return Dataset(manifest=manifest, train=splits["train"], val=splits["val"], test=splits["test"], token_bytes=1.0)


def _manifest(task: str, sizes: Mapping[bytes, int], context: int) -> DataManifest:
    held = dict.fromkeys(("train", "val", "test"), 0)
    for digest, size in sizes.items():
        held[split_of(digest)] += size + len(SEPARATOR)
    windows = {name: windows_in(size, context) for name, size in held.items()}
    for name, count in windows.items():
        if not count:
            raise BadInput(
                f"data source {task!r} is too small: {sum(sizes.values()):,} bytes leave {held[name]:,} in the {name} "
                f"split, less than one window of {context:,}: add text or lower model.context"
            )
    identity = {
        "pieces": [digest.hex() for digest in sorted(sizes)],
        "context": context,
        "separator": SEPARATOR.hex(),
        "split_rule": SPLIT_RULE,
    }
    return DataManifest(
        task=task,
        digest=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        train_examples=windows["train"],
        val_examples=windows["val"],
        test_examples=windows["test"],
        tokens_per_example=context,
        input_shape=(context,),
        classes=256,
    )
