"""Token columns of Parquet and Arrow files, copied once a node into a flat run that can be mapped."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from orchestrator.errors import BadOption
from workers.sources.staging import cache_folder
from workers.sources.tokens.shard_file import Shard, flat_shard

#: Names of token columns that are found without being told.
USUAL = ("tokens", "input_ids", "ids")
_VERSION = 1


def flat_copy(path: Path, column: str, dtype: str, end_of_text: int | None) -> Shard:
    """Return the flat copy of a file's token column, made by whichever process comes first.

    Rows are documents: they follow each other, and each ends with ``end_of_text`` where one is given.

    Parameters
    ----------
    column
        Its name; ``auto``: the only one of the usual names.
    dtype
        Of the copy, ``uint16`` or ``uint32``.

    Raises
    ------
    BadOption
        If the file can't be read, has no such column, or it holds no tokens of that type.
    """
    stat = path.stat()
    name = f"{_VERSION} {path.resolve()} {stat.st_size} {stat.st_mtime_ns} {column} {dtype} {end_of_text}"
    folder = cache_folder()
    target = folder / f"tokens-{hashlib.sha256(name.encode()).hexdigest()[:32]}.bin"
    with (folder / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a process that is killed lets go
        if not target.is_file():
            half = folder / f".half-{target.name}"
            with half.open("wb") as file:
                _copy(path, column, np.dtype(dtype), end_of_text, file)
            half.rename(target)
    return flat_shard(target, dtype, headless=True)


def _copy(path: Path, column: str, dtype: np.dtype[Any], end_of_text: int | None, out: BinaryIO) -> None:
    most = np.iinfo(dtype).max
    try:
        for rows in _batches(path, column):
            for tokens in _documents(path, rows, end_of_text):
                if len(tokens) and not 0 <= tokens.min() <= tokens.max() <= most:
                    worst = int(tokens.min()) if tokens.min() < 0 else int(tokens.max())
                    raise BadOption("data", "column", f"{path} holds {worst:,}, which is no token of {dtype}")
                out.write(tokens.astype(dtype).tobytes())
    except (pa.ArrowException, OSError) as error:
        raise BadOption("data", "paths", f"{path} can't be read: {str(error).partition(chr(10))[0]}") from error


def _batches(path: Path, column: str) -> Iterator[pa.Array]:
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        wanted = _column(path, file.schema_arrow, column)
        for batch in file.iter_batches(columns=[wanted]):
            yield batch.column(0)
        return
    with pa.memory_map(str(path)) as source:
        try:
            reader: Any = pa.ipc.open_file(source)
            batches = (reader.get_batch(k) for k in range(reader.num_record_batches))
        except pa.ArrowInvalid:  # the other of Arrow's two layouts, which datasets are saved in
            reader = pa.ipc.open_stream(source)
            batches = iter(reader)
        wanted = _column(path, reader.schema, column)
        for batch in batches:
            yield batch.column(wanted)


def _column(path: Path, schema: pa.Schema, column: str) -> str:
    found = [name for name in (USUAL if column == "auto" else (column,)) if name in schema.names]
    if len(found) == 1:
        return found[0]
    what = f"several columns of tokens ({', '.join(found)})" if found else "no column of tokens that is known by name"
    what = what if column == "auto" else f"no column {column!r}"
    raise BadOption("data", "column", f"{path} has {what}; its columns are {', '.join(schema.names)}: name one")


def _documents(path: Path, rows: pa.Array, end_of_text: int | None) -> Iterator[npt.NDArray[Any]]:
    """Yield the tokens of some rows, together where nothing is to be put between them."""
    nested = pa.types.is_list(rows.type) or pa.types.is_large_list(rows.type) or pa.types.is_fixed_size_list(rows.type)
    values = rows.flatten() if nested else rows
    if not pa.types.is_integer(values.type) or rows.null_count or values.null_count:
        what = "nulls" if pa.types.is_integer(values.type) else str(rows.type)
        raise BadOption(
            "data", "column", f"the tokens in {path} are {what}: they must be whole numbers, or lists of such"
        )
    tokens = values.to_numpy(zero_copy_only=False)
    if end_of_text is None or not nested:
        yield tokens
        return
    lengths = (
        rows.value_lengths().to_numpy(zero_copy_only=False)
        if not pa.types.is_fixed_size_list(rows.type)
        else (np.full(len(rows), rows.type.list_size))
    )
    ends = np.cumsum(lengths)
    last = tokens[ends[lengths > 0] - 1]
    missing = ends[lengths > 0][last != end_of_text]
    yield np.insert(tokens, missing, end_of_text)
