"""A checksum over every byte of a file that lies inside the file: over all of it, the checksum's own digits zeroed."""

from __future__ import annotations

import hashlib
from typing import Final

#: Hexadecimal digits of a SHA-256.
DIGITS: Final = 64
#: What stands in their place while they are computed.
BLANK: Final = b"0" * DIGITS


def sealed(data: bytes, at: int) -> bytes:
    """Return a file with the checksum of all its bytes at a position that was left blank."""
    return b"".join((data[:at], _digest(data, at), data[at + DIGITS :]))


def is_whole(data: bytes, at: int) -> bool:
    """Return whether the checksum at a position is that of the file: no bit of it differs from what was sealed."""
    return data[at : at + DIGITS] == _digest(data, at)


def _digest(data: bytes, at: int) -> bytes:
    view = memoryview(data)
    digest = hashlib.sha256(view[:at])
    digest.update(BLANK)
    digest.update(view[at + DIGITS :])
    return digest.hexdigest().encode()
