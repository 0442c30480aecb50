"""From what a person calls a store to the blobs below it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from orchestrator.errors import BadInput, Unreachable

if TYPE_CHECKING:
    from orchestrator.store.blobs import Blobs

OBJECT_SCHEMES = ("s3", "gs", "az")


def open_blobs(uri: str, *, create: bool) -> Blobs:
    """Return the blobs behind a path, ``file://``, ``s3://``, ``gs://`` or ``az://`` URI; writes nothing.

    Credentials and endpoints come from the environment (``AWS_*``, ``GOOGLE_*``, ``AZURE_*``), never from the URI.

    Parameters
    ----------
    uri
        Where the store is.
    create
        Whether the caller means to write there.

    Raises
    ------
    BadInput
        If the URI is wrong, carries credentials, or names a file, or a folder that is not there and not to be made.
    Unreachable
        If the folder can't be read, or can't be written where ``create`` asks for it.
    """
    if not uri or "\0" in uri:
        raise BadInput("the store's address is empty: name a folder or s3://BUCKET/PREFIX")
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _open_folder(_expanded(uri), create=create)
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise BadInput(
            f"the store {scheme}://…@{parts.netloc.rpartition('@')[2]} carries credentials in its address: "
            "take them out and set them in the environment (such as AWS_ACCESS_KEY_ID)"
        )
    if scheme == "file":
        if not rest.startswith("/"):
            raise BadInput(f"store {uri}: a file URI has three slashes, as in file:///data/store")
        return _open_folder(Path(unquote(parts.path)), create=create)
    if scheme not in OBJECT_SCHEMES:
        raise BadInput(f"store {scheme}://…: unknown kind of store; known: a path, file://, s3://, gs://, az://")
    if parts.query or parts.fragment or not parts.netloc:
        raise BadInput(
            f"store {scheme}://{parts.netloc}{parts.path}: expected {scheme}://BUCKET/PREFIX and nothing more"
        )
    return _open_bucket(f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}", scheme)


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BadInput(f"store {path}: there is no such user; write the folder in full") from error


def _open_folder(path: Path, *, create: bool) -> Blobs:
    from orchestrator.store.local_blobs import LocalBlobs

    path = path.absolute()
    try:
        _check_folder(path, create=create)
    except OSError as error:
        raise Unreachable(f"the store {path} can't be reached: {error.strerror or error}") from error
    return LocalBlobs(path)


def _check_folder(path: Path, *, create: bool) -> None:
    if path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            raise Unreachable(f"the store {path} can't be read: permission denied")
        if create and not os.access(path, os.W_OK):
            raise Unreachable(f"the store {path} can't be written: permission denied")
    elif path.exists():
        raise BadInput(f"{path} is a file: a store is a folder")
    elif not create:
        raise BadInput(f"there is no store at {path}: check the path, or let 'scalaw run' make one")
    else:
        above = next(folder for folder in path.parents if folder.exists())
        if not above.is_dir():
            raise Unreachable(f"the store {path} can't be made: {above} is a file")
        if not os.access(above, os.W_OK | os.X_OK):
            raise Unreachable(f"the store {path} can't be made: no permission to write in {above}")


def _open_bucket(uri: str, scheme: str) -> Blobs:
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    from orchestrator.store.object_blobs import ObjectBlobs

    endpoints = (os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"))
    plain_http = any(endpoint.startswith("http://") for endpoint in endpoints)
    try:
        bucket = from_url(
            uri,
            client_options={"connect_timeout": timedelta(seconds=5), "allow_http": scheme == "s3" and plain_http},
            retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=30)},
        )
    except (BaseError, ValueError) as error:
        raise BadInput(f"store {uri}: {str(error).partition(chr(10))[0]}; set it in the environment") from error
    return ObjectBlobs(bucket, uri)
