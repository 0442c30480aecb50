"""JSON that nests without end is refused before a parser recurses into it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

import pyarrow as pa

from orchestrator.errors import BadInput

#: Lists and mappings in each other that a JSON file may have; parsers recurse, and a table has plain columns.
DEEPEST: Final = 64
_PACKED: Final = {".gz": "gzip", ".zst": "zstd"}
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[{\]}]")


def check_depth(path: Path) -> None:
    """Refuse JSON, a record a line or spread over lines, packed or not, that nests deeper than a parser can go.

    Raises
    ------
    BadInput
        With the line, or where a packed file can't be unpacked.
    """
    try:
        with pa.input_stream(str(path), compression=_PACKED.get(path.suffix.lower())) as stream:
            _check_lines(path, io.BufferedReader(stream))
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path} can't be read as json: {str(error).strip().splitlines()[0]}") from error


def _check_lines(path: Path, lines: io.BufferedReader) -> None:
    depth = 0
    for number, line in enumerate(lines, 1):
        if not depth and _is_flat(line):
            continue
        for bracket in _BRACKET.finditer(_TEXT.sub(b"", line)):
            depth = depth + 1 if bracket[0] in b"[{" else max(depth - 1, 0)
            if depth > DEEPEST:
                raise BadInput(
                    f"{path}: line {number} nests more than {DEEPEST} levels deep: a table has one plain value a column"
                )


def _is_flat(line: bytes) -> bool:
    """Return whether a line is one record without lists and mappings, as nearly all are; text can't span lines."""
    bare = line.strip()
    return bare[:1] == b"{" and bare[-1:] == b"}" and bare.count(b"{") == 1 and b"[" not in bare
