"""``STORE/store.json``: by it a folder is known for a store, and for the same one as before."""

from __future__ import annotations

import json
import uuid
from typing import Final

from orchestrator.errors import BadInput, StoreReplaced
from orchestrator.store.blobs import Blobs
from orchestrator.store.json_object import read_object

KEY: Final = "store.json"
#: Layout of a store; a newer one is refused.
LAYOUT: Final = 1


def identity_of(blobs: Blobs) -> str | None:
    """Return what a store calls itself, or ``None`` where no ``store.json`` is there.

    Raises
    ------
    BadInput
        If the document is damaged, or a newer scalaw made the store.
    """
    try:
        data = blobs.get(KEY)
    except FileNotFoundError:
        return None
    return read_identity(data, blobs.uri)


def read_identity(data: bytes, uri: str) -> str:
    """Return the id in the bytes of a ``store.json``.

    Raises
    ------
    BadInput
        If they hold none, or are of a newer layout.
    """
    try:
        document = read_object(data)
        found, layout = str(document["id"]), int(document["layout"])
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise BadInput(
            f"{uri}/{KEY} is damaged: if this is the store that you mean, delete that file, and the next run makes it "
            "anew"
        ) from error
    if layout > LAYOUT:
        raise BadInput(f"{uri} is a store of a newer scalaw (layout {layout}): upgrade scalaw")
    return found


def make_identity(blobs: Blobs) -> str:
    """Return what a store calls itself; it is named first where it has no name yet. Of several who do so one wins."""
    found = identity_of(blobs)
    if found is not None:
        return found
    document = {"scalaw": "this folder is a store of scalaw", "id": uuid.uuid4().hex, "layout": LAYOUT}
    blobs.put_new(KEY, json.dumps(document, indent=1).encode())
    made = identity_of(blobs)
    if made is None:
        raise StoreReplaced(f"the store {blobs.uri} lost its {KEY} as soon as it was written: is its disk mounted?")
    return made
