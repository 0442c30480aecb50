"""Text of others as a terminal may be given it: what would move the cursor, colour or reorder lines is escaped."""

from __future__ import annotations

import re
from typing import Final

#: Control characters but tab and line break, halves of pairs, and what turns the direction of text round.
_HARMFUL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return a text with its control characters escaped, as Python writes them: ``\\x1b``.

    Names of files, errors of libraries, text in tables and what is in a store were written by others, who may mean a
    terminal ill.
    """
    return _HARMFUL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
