"""Bytes → a JSON object, whatever the bytes are: the one place that knows how reading JSON can fail."""

from __future__ import annotations

import json
from typing import Any


class NoObject(ValueError):
    """Bytes that are no JSON object, with the reason."""


def read_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object in some bytes.

    Raises
    ------
    NoObject
        If they hold none: no JSON, another value, no UTF-8, or nested deeper than can be read.
    """
    if not data.strip(b"\0 \t\r\n"):
        raise NoObject("it is blank" if data else "it is empty")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NoObject("it is not JSON") from error
    if not isinstance(document, dict):
        raise NoObject("it is not a JSON object")
    return document
