"""What a Ray of our own needs of this machine: a folder with a short name and room, a token, shared memory.

Each is looked at before Ray starts, which meets what is missing with a traceback, a hang, or a worker that dies.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from orchestrator.errors import Unreachable

#: Longest path of a socket that the system takes.
SOCKET_BYTES: Final = 103 if sys.platform == "darwin" else 107
#: What Ray adds to its folder for a socket's path: a session named after the time and the process.
_SESSION: Final = "/session_2026-01-02_03-04-05_678901_4194304/sockets/plasma_store"
#: What Python's multiprocessing, by which Ray's dashboard starts its parts, adds to the folder for temporary files.
_LISTENER: Final = "/pymp-abcdefgh/listener-abcdefgh"
#: Room without which logs and sockets of a session can't be written.
LEAST_BYTES: Final = 32 * 1024**2
#: Folders in which one with a short name may be made.
SHORT: Final = ("/tmp", "/var/tmp", "/dev/shm")
SHARED_MEMORY: Final = Path("/dev/shm")


@contextlib.contextmanager
def surroundings() -> Iterator[dict[str, Any]]:
    """Yield what to tell ``ray.init`` of its folders; a folder of ours with a short name is gone afterwards.

    Raises
    ------
    Unreachable
        If there is no folder that Ray could use, or no token; with the mend.
    """
    check_token()
    folder = ray_folder()
    free_bytes(folder)
    with contextlib.ExitStack() as until_the_end:
        if is_too_long(folder):
            folder = until_the_end.enter_context(_short_name(folder))
        temporary = _temporary_folder()
        if len(os.fsencode(f"{temporary}{_LISTENER}")) > SOCKET_BYTES:
            short = until_the_end.enter_context(_short_name(temporary))
            until_the_end.enter_context(_set("TMPDIR", str(short)))
        found = {"_temp_dir": str(folder)}
        if sys.platform == "linux" and not os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
            found["_plasma_directory"] = str(folder)
        yield found


def ray_folder() -> Path:
    """Return the folder below which Ray keeps its sessions, by the same rule as Ray."""
    named = os.environ.get("RAY_TMPDIR") or (os.environ.get("TMPDIR") if sys.platform == "linux" else None)
    usual = "/tmp" if os.name == "posix" else tempfile.gettempdir()
    return Path(named or usual).absolute() / "ray"


def is_too_long(folder: Path) -> bool:
    """Return whether the sockets of a session in a folder would have longer names than the system takes."""
    return len(os.fsencode(f"{folder}{_SESSION}")) > SOCKET_BYTES


def free_bytes(folder: Path) -> int:
    """Return the room in Ray's folder, which is made where it is missing.

    Raises
    ------
    Unreachable
        If it can't be made or written, or is full; with the mend.
    """
    mend = "set RAY_TMPDIR to a folder that can be written and has room"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        free = shutil.disk_usage(folder).free
    except OSError as failure:
        raise Unreachable(f"Ray's folder {folder} can't be written ({failure.strerror}): {mend}") from failure
    if free < LEAST_BYTES:
        raise Unreachable(f"Ray's folder {folder} is full ({free / 1e6:.3g} MB are free): {mend}")
    return free


def check_token(*, made_here: bool = True) -> None:
    """Refuse a token that Ray is told to use and can't read, and a home in which it can't keep one.

    Parameters
    ----------
    made_here
        Whether Ray makes a token where there is none, as it does for a cluster of our own.

    Raises
    ------
    Unreachable
        As said.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path(os.environ.get("HOME") or "/") / ".ray" / "auth_token"
    try:
        token = path.read_text().strip()
    except OSError as failure:
        if named:
            raise Unreachable(
                f"RAY_AUTH_TOKEN_PATH names {named}, which can't be read ({failure.strerror}): name a file that holds "
                "a token, or unset it"
            ) from failure
        if made_here:
            _check_home(path.parent)
        return
    if not token:
        raise Unreachable(f"the token in {path} is empty: write one into it, or delete the file")


def refusal(failure: BaseException, address: str | None) -> Unreachable:
    """Return in one sentence why Ray did not start here, or can't be joined at an address."""
    said = " ".join((str(failure).strip() or type(failure).__name__).splitlines()[0].split())
    if address is not None:
        return Unreachable(
            f"the cluster at {address} can't be reached: {said}; does RAY_AUTH_TOKEN_PATH name a file with its token?"
        )
    return Unreachable(f"Ray can't be started on this machine: {said.rstrip('.')}; 'scalaw doctor' tries what it needs")


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError as failure:
        raise Unreachable(
            "no folder for temporary files can be written: set TMPDIR to one that can, and has room"
        ) from failure


def _check_home(folder: Path) -> None:
    """Refuse a home in which Ray can't write the token that it makes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as failure:
        raise Unreachable(
            f"Ray can't keep its token in {folder} ({failure.strerror}): set RAY_AUTH_TOKEN_PATH to a file elsewhere "
            "that holds a long random word"
        ) from failure


@contextlib.contextmanager
def _set(variable: str, value: str) -> Iterator[None]:
    """Set an environment variable, which the processes that start meanwhile get too."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@contextlib.contextmanager
def _short_name(folder: Path) -> Iterator[Path]:
    """Yield a short name of a folder whose own is too long for sockets; what is written lies where it was to."""
    for place in SHORT:
        with contextlib.suppress(OSError):
            ours = Path(tempfile.mkdtemp(prefix="scalaw-ray-", dir=place))
            break
    else:
        raise Unreachable(
            f"Ray's folder {folder} has too long a name for sockets, and none of {', '.join(SHORT)} can be written: "
            "set RAY_TMPDIR to a folder whose name is shorter than 40 characters"
        )
    try:
        (ours / "r").symlink_to(folder, target_is_directory=True)
        yield ours / "r"
    finally:
        shutil.rmtree(ours, ignore_errors=True)
