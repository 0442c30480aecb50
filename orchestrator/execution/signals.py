"""Ctrl-C once: keep what is at work and stop. Twice: stop now. SIGTERM and SIGHUP count like Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final

from orchestrator.execution import guard

#: What asks for a stop: a person, a batch system or container, a terminal that is closed.
STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore stops for a moment that must not be cut in half: tidying up that takes some seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopSignal:
    """A context in which signals ask for a clean stop first, and raise ``KeyboardInterrupt`` after.

    Enter it after Ray has started, which puts its own handler on SIGTERM.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # A terminal that is closed sends SIGHUP, and its shell often a second one: not a person who can't wait.
        if self.asked and number != signal.SIGHUP:
            raise KeyboardInterrupt
        self.asked = True
        guard.tell(stopping=True)
