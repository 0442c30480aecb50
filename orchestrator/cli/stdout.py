"""stdout that may be full or closed: said in one line, as of every other file that can't be written."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from orchestrator.errors import BadInput


class _Guarded:
    """A stream whose failed writes are refusals; a reader that has gone away stays a `BrokenPipeError`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failed = False

    def write(self, text: str) -> int:
        with self._refused():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._refused():
            self._stream.flush()

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as failure:
            self.failed = True
            raise BadInput(f"the answer can't be written to stdout: {failure.strerror}") from failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def guarded_stdout() -> Iterator[None]:
    """Refuse what can't be written to stdout, to its last byte.

    Raises
    ------
    BadInput
        If stdout is full, can't be written or is closed; what is left for it goes nowhere.
    """
    if sys.stdout is None:  # as Python has it where the descriptor is closed
        raise BadInput("the answer can't be written to stdout: it is closed")
    guarded = _Guarded(sys.stdout)
    try:
        with contextlib.redirect_stdout(guarded):
            yield
            guarded.flush()
    finally:
        if guarded.failed:
            discard_stdout()


def discard_stdout() -> None:
    """Send what is left for stdout nowhere, so that the interpreter's end doesn't fail on it."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
