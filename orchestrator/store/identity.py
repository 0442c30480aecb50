"""``STORE/store.json``: by it a folder is known for a store, and for the same one as before."""

from __future__ import annotations

import contextlib
import uuid
from typing import Final

from orchestrator.errors import BadInput, StoreReplaced
from orchestrator.store.blobs import Blobs, UnreadableBlob
from orchestrator.store.documents import DamagedDocument, decode_document, encode_document

KEY: Final = "store.json"
#: Layout of a store; a newer one is refused.
LAYOUT: Final = 1
_MEND: Final = "the next run makes it anew"


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
    except UnreadableBlob as failure:
        raise DamagedDocument(f"{blobs.uri}/{KEY}", str(failure), _MEND) from failure
    return read_identity(data, blobs.uri)


def read_identity(data: bytes, uri: str) -> str:
    """Return the id in the bytes of a ``store.json``.

    Raises
    ------
    DamagedDocument
        If they hold none.
    BadInput
        If they are of a newer layout.
    """
    try:
        document = decode_document(data, f"{uri}/{KEY}", must_be_sealed=True)
        found, layout = document["id"], document["layout"]
        if not (isinstance(found, str) and isinstance(layout, int)):
            raise TypeError(f"{found!r}, {layout!r}")
    except (DamagedDocument, TypeError, KeyError) as error:
        reason = error.reason if isinstance(error, DamagedDocument) else "it names no store"
        raise DamagedDocument(f"{uri}/{KEY}", reason, _MEND) from error
    if layout > LAYOUT:
        raise BadInput(f"{uri} is a store of a newer scalaw (layout {layout}): upgrade scalaw")
    return found


def make_identity(blobs: Blobs) -> str:
    """Return what a store calls itself; it is named first where it has no name yet. Of several who do so one wins.

    A name that is damaged is set aside: whoever insists on it has been told by then that it is gone.
    """
    try:
        found = identity_of(blobs)
    except DamagedDocument:
        _set_aside(blobs)
        found = None
    if found is not None:
        return found
    document = {"scalaw": "this folder is a store of scalaw", "id": uuid.uuid4().hex, "layout": LAYOUT}
    blobs.put_new(KEY, encode_document(document))
    made = identity_of(blobs)
    if made is None:
        raise StoreReplaced(f"the store {blobs.uri} lost its {KEY} as soon as it was written: is its disk mounted?")
    return made


def _set_aside(blobs: Blobs) -> None:
    """Move a damaged name out of the way, unless another process has done so in the meantime."""
    with contextlib.suppress(FileNotFoundError):
        try:
            identity_of(blobs)
        except DamagedDocument:
            blobs.move(KEY, f"damaged/{KEY}")
