"""Blobs in a folder: temporary file, fsync, link or rename, fsync of the folder (I5)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from orchestrator.errors import BadInput, StoreReplaced, Unreachable
from orchestrator.store.blobs import Stored, UnreadableBlob
from orchestrator.store.identity import KEY, read_identity

#: What reading a file raises that is no matter of the disk or the network.
_NOBODY_CAN_READ: Final = {errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO}
#: Times that a folder may vanish between its making and its use.
_TIDIED_AWAY: Final = 8
#: Files that are being written, or that a killed writer left.
_TEMPORARY: Final = re.compile(r"\.tmp-[0-9a-f]{32}")


class LocalBlobs:
    """Blobs as files below a folder, which the first write creates.

    Temporary files begin with a dot; readers never see them, so what a killed writer leaves behind is harmless. Folders
    two or more levels below the root go with their last blob.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)
        self._store_id: str | None = None

    def insist_on(self, store_id: str) -> None:
        """See ``Blobs``; looked at before each write becomes visible, as a disk may be unmounted at any time."""
        with self._reachable("read", KEY):
            self._check_store(store_id)
        self._store_id = store_id

    def put_new(self, key: str, data: bytes) -> bool:
        """See ``Blobs``; the hard link fails where the name is taken, which decides the race.

        A file system without hard links (exFAT, some network shares) is ``Unreachable``.
        """
        path = self._path(key)
        with self._reachable("write", key), self._temporary(path, data) as temporary:
            try:
                os.link(temporary, path)
                written = True
            except FileExistsError:
                written = _remove_empty_folder(path)
                if written:
                    os.link(temporary, path)
            _sync_folder(path.parent)
        return written

    def replace(self, key: str, data: bytes) -> None:
        """See ``Blobs``."""
        path = self._path(key)
        with self._reachable("write", key), self._temporary(path, data) as temporary:
            _remove_empty_folder(path)
            temporary.replace(path)
            _sync_folder(path.parent)

    def get(self, key: str) -> bytes:
        """See ``Blobs``."""
        path = self._path(key)
        with self._reachable("read", key, missing_is_an_answer=True):
            try:
                return _read_file(path)
            except OSError as error:
                links_nowhere = isinstance(error, FileNotFoundError) and path.is_symlink()
                if error.errno not in _NOBODY_CAN_READ and not links_nowhere:
                    raise
                why = "it links to nothing" if links_nowhere else error.strerror
                raise UnreadableBlob(f"can't read {key} in the store {self.uri}: {why}") from error

    def exists(self, key: str) -> bool:
        """See ``Blobs``."""
        with self._reachable("read", key):
            return os.path.lexists(self._path(key))

    def list(self, folder: str) -> list[str]:
        """See ``Blobs``."""
        with self._reachable("list", folder):
            return sorted(_walk(self._path(folder), folder))

    def children(self) -> set[str]:
        """See ``Blobs``."""
        with self._reachable("list", "the root"):
            if not self.root.is_dir():
                return set()
            return {path.name for path in self.root.iterdir() if not path.name.startswith(".")}

    def move(self, source: str, target: str) -> None:
        """See ``Blobs``."""
        old, new = self._path(source), self._path(target)
        with self._reachable("move", source, missing_is_an_answer=True):
            self._check_store()
            _make_folder(new.parent)
            old.replace(new)
            _sync_folder(new.parent)
            _sync_folder(old.parent)

    def inventory(self) -> dict[str, Stored]:
        """See ``Blobs``."""
        with self._reachable("list", "the root"):
            return dict(_stored(self.root, self.root))

    def delete(self, key: str) -> None:
        """See ``Blobs``."""
        folder, _, name = key.rpartition("/")
        path = self._path(folder) / name if folder and _TEMPORARY.fullmatch(name) else self._path(key)
        with self._reachable("delete", key):
            self._check_store()
            path.unlink(missing_ok=True)
            if path.parent.parent not in (self.root, self.root.parent):
                with contextlib.suppress(OSError):  # not empty, or another process was faster
                    path.parent.rmdir()

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or any(part.startswith(".") for part in parts):
            raise ValueError(f"not a key: {key!r}")
        return self.root.joinpath(*parts)

    @contextlib.contextmanager
    def _reachable(self, verb: str, key: str, *, missing_is_an_answer: bool = False) -> Iterator[None]:
        """Turn what the operating system says into one line; a missing file passes through where it is an answer."""
        try:
            yield
        except OSError as error:
            if missing_is_an_answer and isinstance(error, FileNotFoundError):
                raise
            raise Unreachable(f"can't {verb} {key} in the store {self.uri}: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _temporary(self, path: Path, data: bytes) -> Iterator[Path]:
        """Yield a synced file beside ``path`` that is gone afterwards, unless it was renamed."""
        self._check_store()
        temporary = path.parent / f".tmp-{uuid.uuid4().hex}"
        try:
            with _opened_in_folder(temporary) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._check_store()
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _check_store(self, store_id: str | None = None) -> None:
        """Refuse to write where the store that a run began with does not lie any more.

        Parameters
        ----------
        store_id
            What it calls itself; that which is insisted on, if any, where it is left out.

        Raises
        ------
        StoreReplaced
            If the root is gone, as where its disk was unmounted, or holds another store.
        """
        expected = store_id or self._store_id
        if expected is None:
            return
        try:
            there = read_identity((self.root / KEY).read_bytes(), self.uri)
        except FileNotFoundError as error:
            raise StoreReplaced(
                f"the store {self.uri} is not there any more ({KEY} is gone): was it moved, or its disk unmounted? "
                "Nothing was made anew; put it back and run the same command again"
            ) from error
        except BadInput as error:
            raise StoreReplaced(str(error)) from error
        if there != expected:
            raise StoreReplaced(
                f"another store lies at {self.uri} than the one that this run began with; put that one back and run "
                "the same command again"
            )


def _remove_empty_folder(path: Path) -> bool:
    """Remove a folder of nothing where a blob should be; return whether there was one."""
    if not path.is_dir() or path.is_symlink():
        return False
    with contextlib.suppress(OSError):  # it holds something, and stays
        path.rmdir()
        return True
    return False


def _read_file(path: Path) -> bytes:
    """Return a file's bytes; a pipe or a device, which might keep a reader waiting for ever, is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is no file")
        return file.read()


def _walk(folder: Path, key: str) -> Iterator[str]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # A folder under the name of a part is none of ours: it is listed, to be named and set aside as damaged.
            if entry.is_dir() and not entry.name.endswith(".parquet"):
                yield from _walk(Path(entry.path), f"{key}/{entry.name}")
            else:
                yield f"{key}/{entry.name}"


def _stored(folder: Path, root: Path) -> Iterator[tuple[str, Stored]]:
    """Yield what lies in a folder and below it, temporary files included; links are not followed."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    yield from _stored(path, root)
            elif not entry.name.startswith(".") or _TEMPORARY.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    about = entry.stat(follow_symlinks=False)
                    yield path.relative_to(root).as_posix(), Stored(about.st_size, time.time() - about.st_mtime)


def _opened_in_folder(path: Path) -> BinaryIO:
    """Create a file, and its folder where it is missing or another process has just tidied it away."""
    for _ in range(_TIDIED_AWAY):
        _make_folder(path.parent)
        with contextlib.suppress(FileNotFoundError):
            return path.open("xb")
    return path.open("xb")


def _make_folder(folder: Path) -> None:
    """Create a folder and those above it, each one synced into its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
