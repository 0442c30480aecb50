"""``scalaw tokenize``: all pieces of work, in parallel, each done once whatever is killed."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.errors import BadInput
from orchestrator.planning.content_id import content_id
from orchestrator.planning.machine import usable_cores
from workers.sources.tokens.fingerprint import file_sha256
from workers.sources.tokens.shards_manifest import NAME, TABLE, ShardEntry, ShardsManifest, read_manifest
from workers.tokenizing.documents import WORK_BYTES, Piece, document_bytes, documents_of, work_of
from workers.tokenizing.shard_writer import replace, split_of, write_shards
from workers.tokenizing.text_tokenizer import TextTokenizer, tokenizer_named, trained

#: Of text smaller than this more is held back, so that there are enough documents to score.
SMALL_BYTES = 64 * 1024**2
#: Text that a tokenizer is trained on at most.
TRAINED_ON_BYTES = 1024**3
#: How far the bytes that a tokenizer's table counts may be from those of the text before the table is not believed.
TABLE_TOLERANCE = 0.002
_VERSION = 1


@dataclass(frozen=True)
class _Task:
    """What a process needs to know of the job."""

    out: str
    tokenizer: str
    end: str | None
    dtype: str
    column: str
    cut_bytes: int
    held_out: float


def tokenize(
    paths: Sequence[str],
    out: str,
    *,
    tokenizer: str | None = None,
    train_vocab: int | None = None,
    end_of_text: str | None = None,
    column: str = "text",
    held_out: float | None = None,
    processes: int | None = None,
    work_bytes: int = WORK_BYTES,
    tell: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Write the token shards of some text with a manifest; what an earlier call has finished is kept.

    Parameters
    ----------
    paths
        Text files, JSON lines, Parquet files, and folders of them, here or in a bucket.
    out
        Folder of the shards.
    tokenizer
        ``byte``, a ``tokenizer.json`` or a folder with one, or ``hf:NAME``.
    train_vocab
        Train a byte-level BPE tokenizer of so many tokens on the text instead, and keep it in the folder.
    end_of_text
        The token that ends a document, as text.
    column
        Field or column of the text, in JSON lines and Parquet.
    held_out
        Share of the documents that goes to validation, and to test; ``None``: 0.05, of much text 0.005.
    processes
        How many work at once; ``None``: one a core.
    work_bytes
        Text that goes into one shard.
    tell
        Takes sentences of progress.

    Returns
    -------
    dict
        ``folder, tokenizer, vocabulary, shards, documents, tokens, text_bytes, bytes_per_token, skipped, warnings``.

    Raises
    ------
    BadInput
        If there is no text or no such tokenizer, or the folder holds something else.
    """
    if held_out is not None and not 0 < held_out < 0.5:
        raise BadInput(f"`held_out` must be above 0 and below 0.5, not {held_out:g}")
    if tokenizer is not None and train_vocab is not None:
        raise BadInput("`train_vocab` trains a tokenizer of its own: leave `tokenizer` out, or `train_vocab`")
    work, folder = work_of(paths, work_bytes), Path(out).expanduser()
    total = sum(piece.nbytes for some in work for piece in some)
    held = held_out if held_out is not None else 0.05 if total < SMALL_BYTES else 0.005
    settings = (tokenizer or "byte", train_vocab, end_of_text, column, held)
    job = content_id([_VERSION, settings, [[_known(piece) for piece in some] for some in work]])
    ready = _ready(folder, job)
    if ready is not None:
        return {**_counted(ready), "skipped": len(work), "warnings": []}
    cut = document_bytes(work)
    _begin(folder, job)
    chosen = _chosen(folder, tokenizer, train_vocab, end_of_text, tell, lambda: _trained_on(work, column, cut, held))
    dtype = "uint16" if chosen.vocabulary <= 2**16 else "uint32"
    task = _Task(
        out=str(folder),
        tokenizer=str(folder / "tokenizer.json") if train_vocab else tokenizer or "byte",
        end=end_of_text,
        dtype=dtype,
        column=column,
        cut_bytes=cut,
        held_out=held,
    )
    done, skipped = _all_done(folder, work, task, processes or usable_cores(), tell)
    entries = [ShardEntry(**entry) for document in done for entry in document["shards"]]
    _check_splits(entries)
    table_bytes = sum(document["table_bytes"] for document in done)
    manifest, warnings = _write_manifest(folder, chosen, dtype, entries, table_bytes, job)
    shutil.rmtree(folder / ".progress")
    return {**_counted(manifest), "skipped": skipped, "warnings": warnings}


def check(folder: str) -> dict[str, Any]:
    """Read all shards of a folder and compare them with their checksums.

    Raises
    ------
    BadInput
        If there is no manifest, or a shard is not what was written.
    """
    manifest = read_manifest(Path(folder).expanduser())
    if manifest is None:
        raise BadInput(f"{folder} has no {NAME}: scalaw tokenize writes one")
    manifest.check(whole=True)
    if manifest.table_sha256:
        manifest.table()
    return {"folder": folder, "shards": len(manifest.shards), "tokens": sum(e.tokens for e in manifest.shards)}


def _ready(folder: Path, job: str) -> ShardsManifest | None:
    """Return the manifest of a job that was finished before, all of its shards as they were written."""
    manifest = read_manifest(folder)
    if manifest is None or json.loads((folder / NAME).read_bytes()).get("job") != job:
        return None
    try:
        manifest.check(whole=True)
    except BadInput:
        return None
    return manifest


def _counted(manifest: ShardsManifest) -> dict[str, Any]:
    entries = manifest.shards
    text_bytes, tokens = sum(e.text_bytes for e in entries), sum(e.tokens for e in entries)
    return {
        "folder": str(manifest.folder),
        "tokenizer": dict(manifest.tokenizer),
        "vocabulary": manifest.vocabulary,
        "shards": len(entries),
        "documents": sum(e.documents for e in entries),
        "tokens": {split: sum(e.tokens for e in entries if e.split == split) for split in ("train", "val", "test")},
        "text_bytes": text_bytes,
        "bytes_per_token": text_bytes / tokens,
    }


def _known(piece: Piece) -> list[Any]:
    """Return what a piece is known by: its file's name, size and time, and where in it it lies."""
    stat = Path(piece.path).stat()
    return [Path(piece.path).name, stat.st_size, stat.st_mtime_ns, piece.start, piece.stop]


def _begin(folder: Path, job: str) -> None:
    """Make the folder, or see that it is this job's."""
    progress = folder / ".progress"
    note = progress / "job.json"
    try:
        there = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        if (folder / NAME).is_file():
            if json.loads((folder / NAME).read_bytes()).get("job") != job:
                raise BadInput(
                    f"{folder} holds shards of other text or another tokenizer: name another folder as `out`"
                )
        elif there and not note.is_file() and there != [".progress"]:
            raise BadInput(f"{folder} holds other things ({', '.join(sorted(there)[:3])}): name a new folder as `out`")
        progress.mkdir(parents=True, exist_ok=True)
        others = note.is_file() and json.loads(note.read_bytes()).get("job") != job
        if others and set(there) == {".progress", "tokenizer.json"}:  # no shard yet: nothing is lost
            (folder / "tokenizer.json").unlink()
        if others and set(there) - {".progress", "tokenizer.json"}:
            raise BadInput(
                f"{folder} was begun with other text, another tokenizer or other settings: name another folder as "
                "`out`, or remove it"
            )
        replace(note, json.dumps({"job": job}).encode())
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} can't be written: {error}; name another folder as `out`") from error


def _chosen(
    folder: Path,
    tokenizer: str | None,
    train_vocab: int | None,
    end: str | None,
    tell: Callable[[str], None],
    text: Callable[[], Iterator[bytes]],
) -> TextTokenizer:
    if train_vocab is None:
        return tokenizer_named(tokenizer or "byte", end=end)
    path = folder / "tokenizer.json"
    if not path.is_file():
        tell(f"training a tokenizer of {train_vocab:,} tokens")
        replace(path, trained(text(), train_vocab).encode())
    return tokenizer_named(str(path), end=end)


def _trained_on(work: Sequence[Sequence[Piece]], column: str, cut_bytes: int, held_out: float) -> Iterator[bytes]:
    """Yield documents to train a tokenizer on: none that is held back, and of much text an even part."""
    step = max(1, sum(p.nbytes for some in work for p in some) // TRAINED_ON_BYTES)
    for some in work[::step]:
        for text in documents_of(some, column, cut_bytes):
            if split_of(text, held_out) == "train":
                yield text


def _all_done(
    folder: Path, work: list[list[Piece]], task: _Task, processes: int, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], int]:
    done = {number: found for number in range(len(work)) if (found := _finished(folder, number)) is not None}
    skipped = len(done)
    rest = [number for number in range(len(work)) if number not in done]
    if len(rest) <= 1 or processes == 1:
        for number in rest:
            done[number] = _do(task, number, work[number])
        return [done[number] for number in sorted(done)], skipped
    with ProcessPoolExecutor(
        min(processes, len(rest)), mp_context=get_context("spawn"), initializer=_leave_with, initargs=(os.getpid(),)
    ) as pool:
        futures = {pool.submit(_do, task, number, work[number]): number for number in rest}
        begun = time.monotonic()
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            each_s = (time.monotonic() - begun) / (len(done) - skipped)
            tell(f"{len(done):,} of {len(work):,} shards, about {each_s * (len(work) - len(done)):,.0f} s left")
    return [done[number] for number in sorted(done)], skipped


def _finished(folder: Path, number: int) -> dict[str, Any] | None:
    """Return what an earlier call has counted of a piece of work, if its shards are there as it left them."""
    path = folder / ".progress" / f"{number:05d}.json"
    if not path.is_file():
        return None
    document: dict[str, Any] = json.loads(path.read_bytes())
    shards = [(folder / entry["file"], entry["sha256"]) for entry in document["shards"]]
    return document if all(file.is_file() and file_sha256(file) == digest for file, digest in shards) else None


_tokenizers: dict[tuple[str, str | None], TextTokenizer] = {}


def _do(task: _Task, number: int, pieces: list[Piece]) -> dict[str, Any]:
    """Do one piece of work, here or in a process of the pool."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # there is a process for each core
    key = task.tokenizer, task.end
    if key not in _tokenizers:
        _tokenizers[key] = tokenizer_named(task.tokenizer, end=task.end)
    documents = documents_of(pieces, task.column, task.cut_bytes)
    return write_shards(Path(task.out), number, documents, _tokenizers[key], task.dtype, task.held_out)


def _leave_with(parent: int) -> None:
    """End this process when its parent is gone: a parent that is killed can't tell its pool to stop."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _check_splits(entries: Sequence[ShardEntry]) -> None:
    for split in ("train", "val", "test"):
        if not any(entry.split == split for entry in entries):
            raise BadInput(f"too little text: no document is left for {split}; add text or raise `held_out`")


def _write_manifest(
    folder: Path, tokenizer: TextTokenizer, dtype: str, entries: list[ShardEntry], table_bytes: int, job: str
) -> tuple[ShardsManifest, list[str]]:
    text_bytes = sum(entry.text_bytes for entry in entries)
    believed = abs(table_bytes - text_bytes) <= TABLE_TOLERANCE * text_bytes
    if believed:
        table = BytesIO()
        np.save(table, tokenizer.token_bytes())
        replace(folder / TABLE, table.getvalue())
    manifest = ShardsManifest(
        folder=folder,
        tokenizer={"kind": tokenizer.kind, "name": tokenizer.name, "sha256": tokenizer.sha256},
        vocabulary=tokenizer.vocabulary,
        end_of_text=tokenizer.end_of_text,
        dtype=dtype,
        table_sha256=file_sha256(folder / TABLE) if believed else "",
        shards=tuple(sorted(entries, key=lambda entry: (entry.split, entry.file))),
    )
    replace(folder / NAME, json.dumps({**manifest.to_json(), "job": job}, indent=1).encode())
    if believed:
        return manifest, []
    return manifest, [
        f"the tokenizer's spellings come to {table_bytes:,} bytes and the text has {text_bytes:,}: it changes text, so "
        "bits per byte are told by the mean bytes of a token of the validation shards"
    ]
