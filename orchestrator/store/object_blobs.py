"""Blobs in an object store, through obstore; the conditional put decides who writes a key first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from orchestrator.errors import StoreReplaced, Unreachable
from orchestrator.store.blobs import Stored
from orchestrator.store.identity import KEY, read_identity

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

#: Where cloud machines ask for their own role; obstore does so where the environment has no credentials.
METADATA_HOSTS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
NO_CREDENTIALS = (
    "the environment has no credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, "
    "AZURE_STORAGE_ACCOUNT_KEY), and this machine has no role of its own"
)


@dataclass(frozen=True)
class Listed:
    """What a bucket says of an object: its size, and what changes when its content does."""

    size_bytes: int
    version: str


class ObjectBlobs:
    """Blobs below the prefix of an obstore store (S3 and its likes, GCS, Azure; local and memory in tests)."""

    def __init__(self, bucket: ObjectStore, uri: str) -> None:
        self.bucket = bucket
        self.uri = uri

    def insist_on(self, store_id: str) -> None:
        """See ``Blobs``."""
        try:
            there: str | None = read_identity(self.get(KEY), self.uri)
        except FileNotFoundError:
            there = None
        if there != store_id:
            what = "there is no store any more" if there is None else "another store lies"
            raise StoreReplaced(f"{what} at {self.uri}, where this run began")

    def put_new(self, key: str, data: bytes) -> bool:
        """See ``Blobs``."""
        with self._reachable("write", key):
            try:
                obstore.put(self.bucket, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def replace(self, key: str, data: bytes) -> None:
        """See ``Blobs``."""
        with self._reachable("write", key):
            obstore.put(self.bucket, key, data, mode="overwrite")

    def get(self, key: str) -> bytes:
        """See ``Blobs``."""
        with self._reachable("read", key, missing_is_an_answer=True):
            return bytes(obstore.get(self.bucket, key).bytes())

    def exists(self, key: str) -> bool:
        """See ``Blobs``."""
        with self._reachable("read", key):
            try:
                obstore.head(self.bucket, key)
            except FileNotFoundError:
                return False
        return True

    def list(self, folder: str) -> list[str]:
        """See ``Blobs``."""
        with self._reachable("list", folder):
            keys = [item["path"] for chunk in obstore.list(self.bucket, prefix=folder) for item in chunk]
        return sorted(key for key in keys if not _hidden(key))

    def listing(self) -> dict[str, Listed]:
        """Return all objects below, with those that :meth:`list` hides; folders' own objects are left out."""
        with self._reachable("list", "the root"):
            items = [item for chunk in obstore.list(self.bucket) for item in chunk]
        return {item["path"]: _listed(item) for item in items if item["size"] or not item["path"].endswith("/")}

    def listing_of(self, key: str) -> dict[str, Listed]:
        """Return one object likewise, or nothing where it isn't there."""
        with self._reachable("read", key):
            try:
                return {key: _listed(obstore.head(self.bucket, key))}
            except FileNotFoundError:
                return {}

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file, piece by piece."""
        with self._reachable("read", key), path.open("wb") as file:
            for piece in obstore.get(self.bucket, key).stream():
                file.write(piece)

    def children(self) -> set[str]:
        """See ``Blobs``."""
        with self._reachable("list", "the root"):
            below = obstore.list_with_delimiter(self.bucket)
        names = {*below["common_prefixes"], *(item["path"] for item in below["objects"])}
        return {name for name in names if not _hidden(name)}

    def move(self, source: str, target: str) -> None:
        """See ``Blobs``; a copy followed by a delete."""
        with self._reachable("move", source, missing_is_an_answer=True):
            obstore.copy(self.bucket, source, target)
            obstore.delete(self.bucket, source)

    def inventory(self) -> dict[str, Stored]:
        """See ``Blobs``; a put that was cut off left nothing, so nothing is hidden."""
        now = datetime.now(UTC)
        with self._reachable("list", "the root"):
            items = [item for chunk in obstore.list(self.bucket) for item in chunk]
        return {
            item["path"]: Stored(item["size"], (now - item["last_modified"]).total_seconds())
            for item in items
            if not _hidden(item["path"])
        }

    def delete(self, key: str) -> None:
        """See ``Blobs``."""
        with self._reachable("delete", key), contextlib.suppress(FileNotFoundError):
            obstore.delete(self.bucket, key)

    @contextlib.contextmanager
    def _reachable(self, verb: str, key: str, *, missing_is_an_answer: bool = False) -> Iterator[None]:
        """Turn what obstore says into one line; a missing key passes through where it is an answer."""
        try:
            yield
        except (BaseError, OSError) as error:
            if missing_is_an_answer and isinstance(error, FileNotFoundError):
                raise
            raise Unreachable(f"can't {verb} {key} in {self.uri}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the first line of what obstore says, or what it means where no credentials were found."""
    first = str(error).partition("\n")[0]
    if any(host in first for host in METADATA_HOSTS):
        return f"{NO_CREDENTIALS} ({first})"
    return first


def _listed(item: ObjectMeta) -> Listed:
    return Listed(item["size"], item["e_tag"] or item["last_modified"].isoformat())


def _hidden(key: str) -> bool:
    """Say whether a part of the key begins with a dot: what other tools leave behind, never ours."""
    return key.startswith(".") or "/." in key
