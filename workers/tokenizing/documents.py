"""Documents of text files, JSON lines and Parquet columns, cut into pieces of work that are read apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.errors import BadInput
from workers.sources.text import FEWEST_PIECES, LARGEST_PIECE_BYTES, SMALLEST_PIECE_BYTES, text_files

LINES, TABLES = (".jsonl", ".ndjson"), (".parquet",)
#: Text that one piece of work reads.
WORK_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file: bytes ``[start, stop)``, of Parquet row groups.

    A line belongs to the piece in which it begins.
    """

    path: str
    start: int
    stop: int
    nbytes: int


def work_of(paths: Sequence[str], work_bytes: int = WORK_BYTES) -> list[list[Piece]]:
    """Return what is to be read, in pieces of work of about equal size.

    Raises
    ------
    BadInput
        If a path isn't there, or holds no text.
    """
    found: list[list[Piece]] = [[]]
    size = 0
    for file in dict.fromkeys(file for path in paths for file in _files(path)):
        for piece in _pieces(file, work_bytes):
            if size and size + piece.nbytes > work_bytes:
                found.append([])
                size = 0
            found[-1].append(piece)
            size += piece.nbytes
    if not any(found):
        raise BadInput(f"{', '.join(paths)} holds no text: every file is empty")
    return found


def document_bytes(work: Sequence[Sequence[Piece]]) -> int:
    """Return at how many bytes plain text is cut into documents: 64 KiB, or less where there would be few."""
    total = sum(piece.nbytes for some in work for piece in some)
    size = LARGEST_PIECE_BYTES
    while size > SMALLEST_PIECE_BYTES and total < FEWEST_PIECES * size:
        size //= 2
    return size


def documents_of(pieces: Sequence[Piece], column: str, cut_bytes: int) -> Iterator[bytes]:
    """Yield the documents of some pieces: a line of JSON, a row of a table, or a stretch of lines of plain text.

    Parameters
    ----------
    column
        Field or column of the text.
    cut_bytes
        Plain text is cut at the first end of a line beyond so many bytes.

    Raises
    ------
    BadInput
        If a file can't be read, or has no such column.
    """
    for piece in pieces:
        path = Path(piece.path)
        try:
            if path.suffix in TABLES:
                yield from _rows(path, piece, column)
            elif path.suffix in LINES:
                for number, line in enumerate(_lines(path, piece)):
                    if line.strip():
                        yield _field(path, piece, number, line, column)
            else:
                yield from _stretches(_lines(path, piece), cut_bytes)
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{path} can't be read: {str(error).partition(chr(10))[0]}") from error


def _files(path: str) -> Iterator[Path]:
    yield from text_files(path, more=(*LINES, *TABLES))


def _pieces(path: Path, work_bytes: int) -> Iterator[Piece]:
    if path.suffix in TABLES:
        try:
            metadata = pq.ParquetFile(path).metadata
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{path} can't be read: {str(error).partition(chr(10))[0]}") from error
        for group in range(metadata.num_row_groups):
            yield Piece(str(path), group, group + 1, metadata.row_group(group).total_byte_size)
        return
    size = path.stat().st_size
    for start in range(0, size, work_bytes):
        stop = min(start + work_bytes, size)
        yield Piece(str(path), start, stop, stop - start)


def _rows(path: Path, piece: Piece, column: str) -> Iterator[bytes]:
    file = pq.ParquetFile(path)
    if column not in file.schema_arrow.names:
        raise BadInput(f"{path} has no column {column!r}: name the text's as `column`: {_listed(file)}")
    for batch in file.iter_batches(batch_size=1_024, row_groups=range(piece.start, piece.stop), columns=[column]):
        for value in batch.column(0).to_pylist():
            if value is None:
                continue
            if not isinstance(value, str | bytes):
                raise BadInput(f"{path}: the column {column!r} holds no text; name the text's as `column`")
            yield value.encode() if isinstance(value, str) else value


def _listed(file: pq.ParquetFile) -> str:
    return ", ".join(file.schema_arrow.names)


def _lines(path: Path, piece: Piece) -> Iterator[bytes]:
    with path.open("rb") as file:
        if piece.start:
            file.seek(piece.start - 1)
            file.readline()  # the rest of a line that began before
        while file.tell() < piece.stop and (line := file.readline()):
            yield line


def _field(path: Path, piece: Piece, number: int, line: bytes, column: str) -> bytes:
    try:
        return str(json.loads(line)[column]).encode(errors="replace")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            f"{path}: line {number + 1:,} after byte {piece.start:,} is no JSON with a text {column!r} "
            f"({type(error).__name__}): name the field as `column`, or mend the line"
        ) from error


def _stretches(lines: Iterator[bytes], cut_bytes: int) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= cut_bytes:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
