"""What stands in a safetensors file beside its arrays, which the library tells of files on disk alone."""

from __future__ import annotations

import json


def metadata_of(data: bytes) -> dict[str, str]:
    """Return the metadata of a file's bytes, its arrays unread; empty where there are none.

    Raises
    ------
    ValueError
        If the header is no JSON.
    """
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, str] = header.get("__metadata__") or {}
    return found


def kinds_of(data: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type (``F32``, ``BF16`` …) and shape of each array of a file's bytes, the arrays unread.

    Raises
    ------
    ValueError
        If the header is none.
    """
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        return {
            name: (str(each["dtype"]), tuple(map(int, each["shape"])))
            for name, each in header.items()
            if name != "__metadata__"
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no header of arrays: {error}") from error
