"""The seam between a store and where its bytes lie; one conformance suite runs against every implementation."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from orchestrator.errors import Unreachable


class Stored(NamedTuple):
    """What is known of a blob without reading it: its size, and how long ago it was written."""

    size_bytes: int
    age_s: float


class UnreadableBlob(Unreachable):
    """One blob is there and can't be read, while the store answers: a link to nothing, a folder, a file of another."""


class Blobs(Protocol):
    """Named byte strings below one root: a folder, or a prefix in a bucket.

    A key is a relative path with forward slashes, without ``..`` and without a part that begins with a dot.

    Guarantees
    ----------
    * A reader sees a whole blob or none, whatever writer is killed when (I5).
    * Of several ``put_new`` on one key exactly one returns ``True``, and its bytes are the ones that stay (I2). An
      object store that lost the answer to a successful request may make that one return ``False`` too: the blob is
      there all the same.
    * When ``put_new`` or ``replace`` returns, the bytes survive a power cut.
    * A listing that starts after a blob was written, and ends before it is deleted, contains it.
    * A missing key is ``FileNotFoundError``; one that is there and can't be read as nobody could is
      ``UnreadableBlob``. Every other failure of the disk or the network is ``orchestrator.errors.Unreachable`` in one
      line.
    * Methods may be called from several threads and processes at once.
    """

    #: What a person would call the root; safe to print.
    uri: str

    def insist_on(self, store_id: str) -> None:
        """From now on write nothing where ``store.json`` names another store, or none.

        A folder is looked at before each write becomes visible; a bucket when this is called, as it is no disk that can
        be unmounted.

        Raises
        ------
        StoreReplaced
            If that is so already; later the writing methods raise it.
        """

    def put_new(self, key: str, data: bytes) -> bool:
        """Write a blob unless the key is taken; return whether this call wrote it."""

    def replace(self, key: str, data: bytes) -> None:
        """Write a blob over whatever the key held; readers see the old bytes or the new ones."""

    def get(self, key: str) -> bytes:
        """Return a blob's bytes."""

    def exists(self, key: str) -> bool:
        """Return whether the key is taken."""

    def list(self, folder: str) -> list[str]:
        """Return the keys below ``folder/``, at any depth, sorted; empty where there is no such folder."""

    def children(self) -> set[str]:
        """Return the names of the folders and blobs directly below the root; empty where there is no root."""

    def move(self, source: str, target: str) -> None:
        """Give a blob another key, overwriting the target; its bytes are under one of the two keys at all times."""

    def inventory(self) -> dict[str, Stored]:
        """Return everything below the root by key, also what writers that were killed left and `list` hides."""

    def delete(self, key: str) -> None:
        """Remove a blob, or what a killed writer left; a key that is not there is no error."""
