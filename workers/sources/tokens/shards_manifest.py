"""``tokens.json``: what ``scalaw tokenize`` says of the shards beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from orchestrator.errors import BadOption
from workers.sources.tokens.fingerprint import WHOLE_BYTES, file_sha256, file_spots
from workers.sources.tokens.shard_file import Shard

NAME: Final = "tokens.json"
TABLE: Final = "token_bytes.npy"
FORMAT: Final = 1
#: Shards of a large set of which blocks are compared each time that it is opened.
SPOTTED: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One shard: its file beside the manifest, its split, and what was counted when it was written.

    Parameters
    ----------
    tokens, documents, text_bytes
        Tokens, documents, and the bytes of UTF-8 text that they stand for.
    largest_token
        The largest that occurs.
    sha256, spots
        Of the whole file, and of blocks at fixed places in it.
    """

    file: str
    split: str
    tokens: int
    documents: int
    text_bytes: int
    largest_token: int
    sha256: str
    spots: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsManifest:
    """All that is known of a folder of shards.

    Parameters
    ----------
    tokenizer
        How the tokens were made: ``kind``, ``name`` and the SHA-256 of its definition.
    vocabulary
        Tokens that there are.
    end_of_text
        The one that ends a document.
    dtype
        ``uint16`` or ``uint32``.
    table_sha256
        Of ``token_bytes.npy``, uint16 (vocabulary,): bytes of text that each token stands for; empty where the
        spelling of a token doesn't tell.
    """

    folder: Path
    tokenizer: Mapping[str, str]
    vocabulary: int
    end_of_text: int
    dtype: str
    table_sha256: str
    shards: tuple[ShardEntry, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document."""
        return {
            "scalaw_tokens": FORMAT,
            "tokenizer": dict(self.tokenizer),
            "vocabulary": self.vocabulary,
            "end_of_text": self.end_of_text,
            "dtype": self.dtype,
            "token_bytes": {"file": TABLE, "sha256": self.table_sha256} if self.table_sha256 else None,
            "shards": [asdict(shard) for shard in self.shards],
        }

    def bytes_per_token(self, split: str) -> float | None:
        """Return how many bytes of text a token of a split stands for in the mean, where that was counted."""
        shards = [entry for entry in self.shards if entry.split == split]
        text_bytes = sum(entry.text_bytes for entry in shards)
        return text_bytes / sum(entry.tokens for entry in shards) if text_bytes else None

    def table(self) -> npt.NDArray[np.uint16]:
        """Return the bytes of text behind each token.

        Raises
        ------
        BadOption
            If the file isn't the one that was written.
        """
        path = self.folder / TABLE
        if not path.is_file() or file_sha256(path) != self.table_sha256:
            raise _damaged(path, "is not the one that was written")
        found: npt.NDArray[np.uint16] = np.load(path, allow_pickle=False)
        return found

    def opened(self, split: str) -> list[tuple[Shard, ShardEntry]]:
        """Return the shards of a split with what is known of them."""
        itemsize = np.dtype(self.dtype).itemsize
        found = []
        for entry in self.shards:
            if entry.split != split:
                continue
            path = self.folder / entry.file
            if not path.is_file() or path.stat().st_size != entry.tokens * itemsize:
                raise _damaged(path, f"doesn't hold {entry.tokens:,} tokens of {self.dtype}")
            found.append((Shard(path, self.dtype, 0, entry.tokens), entry))
        return found

    def check(self, *, whole: bool | None = None) -> bool:
        """Compare the shards with their checksums; return whether all bytes were read.

        Parameters
        ----------
        whole
            Read all; ``None``: if they are no more than ``WHOLE_BYTES``, else blocks of some shards.

        Raises
        ------
        BadOption
            If one isn't what was written.
        """
        total = sum(entry.tokens for entry in self.shards) * np.dtype(self.dtype).itemsize
        whole = total <= WHOLE_BYTES if whole is None else whole
        step = 1 if whole else -(-len(self.shards) // SPOTTED)
        for entry in self.shards[::step]:
            path = self.folder / entry.file
            right = path.is_file() and (file_sha256(path) == entry.sha256 if whole else file_spots(path) == entry.spots)
            if not right:
                raise _damaged(path, f"differs from its checksum in {NAME}")
        return whole


def read_manifest(folder: Path) -> ShardsManifest | None:
    """Return the manifest in a folder, or ``None`` where there is none.

    Raises
    ------
    BadOption
        If it can't be read, or a newer scalaw wrote it.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_bytes())
        if int(document["scalaw_tokens"]) > FORMAT:
            raise BadOption("data", "paths", f"{path} was written by a newer scalaw: upgrade scalaw")
        return ShardsManifest(
            folder=folder,
            tokenizer={str(k): str(v) for k, v in document["tokenizer"].items()},
            vocabulary=int(document["vocabulary"]),
            end_of_text=int(document["end_of_text"]),
            dtype=np.dtype(document["dtype"]).name,
            table_sha256=str((document["token_bytes"] or {"sha256": ""})["sha256"]),
            shards=tuple(ShardEntry(**entry) for entry in document["shards"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadOption(
            "data", "paths", f"{path} is no manifest of shards ({type(error).__name__}: {error}); tokenize anew"
        ) from error


def _damaged(path: Path, what: str) -> BadOption:
    return BadOption("data", "paths", f"{path} {what}: it was changed or cut off; tokenize anew")
