"""Small JSON documents of a store, sealed by a checksum: resolved sweeps, the heartbeat of who runs one, its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.errors import BadInput
from orchestrator.store.json_object import NoObject, read_object
from orchestrator.store.seal import BLANK, DIGITS, is_whole, sealed

_KEY: Final = "sha256"
_HEAD: Final = b'{\n "sha256": "'


class DamagedDocument(BadInput):
    """A document of a store that can't be read.

    Parameters
    ----------
    name, reason
        Which, and what is wrong with it.
    mend
        What can be done.
    """

    def __init__(self, name: str, reason: str, mend: str = "") -> None:
        super().__init__(f"{name} is damaged ({reason}){f': {mend}' if mend else ''}")
        self.name, self.reason = name, reason


def encode_document(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON for people's eyes, with the checksum of all its bytes as its first entry."""
    return sealed(json.dumps({_KEY: BLANK.decode(), **document}, indent=1).encode(), len(_HEAD))


def decode_document(data: bytes, name: str, *, must_be_sealed: bool = False) -> dict[str, Any]:
    """Return the document in some bytes, without its checksum.

    Parameters
    ----------
    name
        What to call it in a refusal.
    must_be_sealed
        Refuse one without a checksum, as an older scalaw wrote them.

    Raises
    ------
    DamagedDocument
        If there is none, or a bit of it differs from what was written.
    """
    has_seal = is_sealed(data)
    try:
        if has_seal and not is_whole(data, len(_HEAD)):
            raise NoObject("its checksum differs from what was written")
        document = read_object(data)
        if not has_seal and (must_be_sealed or _KEY in document):
            raise NoObject("its checksum is missing")
    except NoObject as reason:
        raise DamagedDocument(name, str(reason)) from reason
    document.pop(_KEY, None)
    return document


def is_sealed(data: bytes) -> bool:
    """Return whether a document carries a checksum."""
    return data.startswith(_HEAD) and len(data) > len(_HEAD) + DIGITS
