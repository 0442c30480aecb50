"""One piece of work → the shards of its documents, written so that a kill at any time leaves a whole one or none."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.sources.tokens.fingerprint import file_sha256, file_spots
from workers.sources.tokens.shards_manifest import ShardEntry
from workers.tokenizing.text_tokenizer import TextTokenizer

#: Documents that are encoded in one call.
BATCH = 256


def write_shards(
    folder: Path, number: int, documents: Iterable[bytes], tokenizer: TextTokenizer, dtype: str, held_out: float
) -> dict[str, Any]:
    """Write the shards of one piece of work and what was counted, and return that.

    Parameters
    ----------
    held_out
        Share of the documents that goes to validation, and to test; by their content, so equal ones stay together.

    Returns
    -------
    dict
        ``shards``, as `ShardEntry` has them, and ``table_bytes``: what the tokenizer's table counts for their text.
    """
    table = tokenizer.token_bytes().astype(np.int64)
    runs: dict[str, _Run] = {}
    table_bytes = 0
    for some in _batches(documents):
        for text, tokens in zip(some, tokenizer.encode(some), strict=True):
            split = split_of(text, held_out)
            if split not in runs:
                runs[split] = _Run(folder, f"{split}-{number:05d}.bin", split, dtype)
            runs[split].add(text, np.append(tokens, np.uint32(tokenizer.end_of_text)))
            table_bytes += int(table[tokens].sum())
    document = {"shards": [asdict(run.close()) for run in runs.values()], "table_bytes": table_bytes}
    replace(folder / ".progress" / f"{number:05d}.json", json.dumps(document).encode())
    return document


def split_of(text: bytes, held_out: float) -> str:
    """Return the split of a document, by its content."""
    at = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
    return "val" if at < held_out else "test" if at < 2 * held_out else "train"


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader, after whatever kill, finds the old one or the new one."""
    half = path.with_name(f".half-{path.name}")
    with half.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    half.rename(path)


def _batches(documents: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(documents)
    while some := list(islice(rest, BATCH)):
        yield some


class _Run:
    """A shard on its way."""

    def __init__(self, folder: Path, name: str, split: str, dtype: str) -> None:
        self.path, self.split, self.dtype = folder / name, split, np.dtype(dtype)
        self._half = folder / f".half-{name}"
        self._file = self._half.open("wb")
        self._tokens = self._documents = self._text_bytes = self._largest = 0

    def add(self, text: bytes, tokens: npt.NDArray[np.uint32]) -> None:
        self._file.write(tokens.astype(self.dtype).tobytes())
        self._tokens += len(tokens)
        self._documents += 1
        self._text_bytes += len(text)
        self._largest = max(self._largest, int(tokens.max()))

    def close(self) -> ShardEntry:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        entry = ShardEntry(
            file=self.path.name,
            split=self.split,
            tokens=self._tokens,
            documents=self._documents,
            text_bytes=self._text_bytes,
            largest_token=self._largest,
            sha256=file_sha256(self._half),
            spots=file_spots(self._half),
        )
        self._half.rename(self.path)
        return entry
