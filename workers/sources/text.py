"""Text files of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from orchestrator.errors import BadOption
from orchestrator.planning.manifest import DataManifest
from orchestrator.spec.options import Options
from workers.sources.byte_corpus import byte_dataset, byte_manifest
from workers.sources.source import Dataset
from workers.sources.staging import on_this_node

#: What is read in a folder; a file that is named itself may have any suffix.
PROSE = (".txt", ".text", ".md", ".rst", ".tex", ".html", ".xml", ".json", ".jsonl", ".csv", ".tsv", ".yaml", ".toml")
CODE = (".py", ".c", ".h", ".cc", ".cpp", ".hpp", ".java", ".js", ".ts", ".go", ".rs", ".sh", ".sql")
LARGEST_PIECE_BYTES, SMALLEST_PIECE_BYTES, FEWEST_PIECES = 65_536, 1_024, 256


class TextFilesOptions(Options):
    """YAML keys beside ``source: text``."""

    paths: Annotated[list[str], Field(min_length=1)] = Field(
        description="text files and folders searched for them, here or in a bucket"
    )


class TextFiles:
    """Files and folders, cut into pieces that are split by the hash of their content, so that one file is enough."""

    name = "text"
    Options = TextFilesOptions

    @staticmethod
    def manifest(options: Mapping[str, Any], *, context: int) -> DataManifest:
        """Return sizes and identity; the digest depends on the text and not on where it lies.

        Raises
        ------
        BadInput
            If a path is missing or unreadable, a folder holds no text, or there is too little of it.
        """
        return byte_manifest("text", _pieces(TextFilesOptions.model_validate(options).paths), context=context)

    @staticmethod
    def load(options: Mapping[str, Any], *, context: int) -> Dataset:
        """Return the text's windows, resident; raises as :meth:`manifest`."""
        return byte_dataset("text", _pieces(TextFilesOptions.model_validate(options).paths), context=context)


def _pieces(paths: Sequence[str]) -> Iterator[bytes]:
    """Yield the text in pieces of 64 KiB, halved until there are about 256 of them, but of no less than 1 KiB."""
    files = [file for path in paths for file in text_files(path)]
    total_bytes = sum(file.stat().st_size for file in files)
    if not total_bytes:
        raise BadOption("data", "paths", f"{', '.join(paths)} holds no text: every file is empty")
    piece_bytes = LARGEST_PIECE_BYTES
    while piece_bytes > SMALLEST_PIECE_BYTES and total_bytes < FEWEST_PIECES * piece_bytes:
        piece_bytes //= 2
    for file in files:
        try:
            with file.open("rb") as text:
                while piece := text.read(piece_bytes):
                    yield piece
        except OSError as error:
            raise BadOption("data", "paths", f"{file} can't be read: {error.strerror}") from error


def text_files(path: str, *, more: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield a file that is named, or the text files below a folder, in an order that is the same on every machine.

    Parameters
    ----------
    more
        Suffixes beside those of text.

    Raises
    ------
    BadOption
        If the path isn't there, or the folder holds no text.
    """
    root = on_this_node(path, key="paths")
    if root.is_file():
        yield root
        return
    if not root.is_dir():
        raise BadOption("data", "paths", f"{path} doesn't exist: give a text file or a folder of them")
    found = False
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix.lower() in (*PROSE, *CODE, *more) and file.is_file():
                found = True
                yield file
    if not found:
        raise BadOption("data", "paths", f"{path} holds no text file ({', '.join(PROSE[:5])}, …): name the files")
