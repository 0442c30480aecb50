"""Data in a bucket, copied to a node's disk once, whatever number of workers read it there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Final

from orchestrator.errors import BadInput, BadOption, Unreachable
from orchestrator.store.location import open_blobs
from orchestrator.store.object_blobs import Listed, ObjectBlobs

#: Names the folder of the copies; the default is in the folder for temporary files, of this user alone.
VARIABLE: Final = "SCALAW_DATA_CACHE"
#: Objects that are fetched at a time.
STREAMS: Final = 16


def on_this_node(address: str, *, key: str) -> Path:
    """Return where a file or folder of data lies here; what a bucket holds is copied first, unless it was already.

    Parameters
    ----------
    address
        A path, or ``s3://BUCKET/PREFIX`` (``gs://``, ``az://``) of one object or of all below a prefix.
    key
        Option of the data source that names it.

    Raises
    ------
    BadOption
        If the address is wrong, nothing lies there, or this node has no room for it.
    Unreachable
        If the bucket can't be read.
    """
    if "://" not in address:
        return Path(address).expanduser()
    try:
        return _staged(address, key)
    except Unreachable as refusal:
        raise Unreachable(f"data.{key}: {address} can't be read: {refusal}") from refusal


def _staged(address: str, key: str) -> Path:
    blobs = _bucket(address, key)
    listed = blobs.listing()
    if listed:
        return _copied(blobs, listed, key=key)
    above, _, name = address.rstrip("/").rpartition("/")
    if not above.endswith("/"):  # not a bucket, so maybe one object
        blobs = _bucket(above, key)
        listed = blobs.listing_of(name)
        if listed:
            return _copied(blobs, listed, key=key) / name
    raise BadOption("data", key, f"{address} holds nothing: check bucket and prefix")


def _bucket(address: str, key: str) -> ObjectBlobs:
    try:
        found = open_blobs(address, create=False)
    except BadInput as refusal:
        raise BadOption("data", key, str(refusal)) from refusal
    if not isinstance(found, ObjectBlobs):
        raise BadOption("data", key, f"{address}: write a path without file://")
    return found


def _copied(blobs: ObjectBlobs, listed: Mapping[str, Listed], *, key: str) -> Path:
    """Return the folder with a copy of the objects, made by whichever process comes first."""
    said = "".join(f"{name}\0{item.size_bytes}\0{item.version}\n" for name, item in sorted(listed.items()))
    folder = cache_folder()
    target = folder / hashlib.sha256(f"{blobs.uri}\n{said}".encode()).hexdigest()[:32]
    with (folder / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a process that is killed lets go
        if target.is_dir():
            return target
        needed_bytes, free_bytes = sum(item.size_bytes for item in listed.values()), shutil.disk_usage(folder).free
        if needed_bytes > free_bytes:
            raise BadOption(
                "data",
                key,
                f"{blobs.uri} takes {needed_bytes:,} bytes and {folder} has {free_bytes:,} left: set {VARIABLE} to a "
                "folder with room",
            )
        half = folder / f".half-{target.name}"
        shutil.rmtree(half, ignore_errors=True)
        with ThreadPoolExecutor(STREAMS) as streams:
            list(streams.map(lambda name: blobs.download(name, _inside(half, name)), listed))
        half.rename(target)
    return target


def cache_folder() -> Path:
    """Return the folder of the copies, which no other user can write."""
    named = os.environ.get(VARIABLE)
    folder = Path(named or Path(tempfile.gettempdir()) / f"scalaw-data-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if named is None and folder.stat().st_uid != os.getuid():
        raise BadInput(f"{folder} belongs to another user: set {VARIABLE} to a folder of your own")
    return folder


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise BadInput(f"the object {name!r} can't be copied: its name leads out of its folder")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
