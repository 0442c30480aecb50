"""What the driver writes to the store, from a thread of its own: a store that is slow or gone must not stop it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.errors import ScalawError


@dataclass
class StoreWriter:
    """Writes one thing after the other; what is written lies in closures over a store that is patient by itself.

    Guarantees: `put` never waits; things are written in the order in which they were put, but of those with the same
    key only the last one; the first refusal is raised by `check`, and nothing is written after it.
    """

    _queue: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)
    _pending: dict[str, Callable[[], object]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _idle: threading.Event = field(default_factory=threading.Event)
    _failure: ScalawError | None = None
    _numbers: int = 0

    def __post_init__(self) -> None:
        self._idle.set()
        self._thread = threading.Thread(target=self._write_on, name="scalaw-store-writer", daemon=True)
        self._thread.start()

    def put(self, write: Callable[[], object], *, key: str | None = None) -> None:
        """Have something written.

        Parameters
        ----------
        key
            Names what a later call replaces while it was not written yet: a heartbeat.
        """
        with self._lock:
            self._numbers += 1
            name = key or f"#{self._numbers}"
            new = name not in self._pending
            self._pending[name] = write
            self._idle.clear()
        if new:
            self._queue.put(name)

    def check(self) -> None:
        """Return where nothing was refused.

        Raises
        ------
        ScalawError
            The refusal: ``Unreachable``, once the store's patience has ended, or ``StoreReplaced``.
        """
        if self._failure is not None:
            raise self._failure

    def flush(self, within_s: float) -> None:
        """Wait until all is written or the time is over.

        Raises
        ------
        ScalawError
            As `check`.
        """
        self._idle.wait(within_s)
        self.check()

    def close(self, within_s: float) -> None:
        """Wait at most so long for what is still to be written, then write no more; the thread ends."""
        self._idle.wait(within_s)
        self._queue.put(None)

    def _write_on(self) -> None:
        while (name := self._queue.get()) is not None:
            with self._lock:
                write = self._pending.pop(name)
            try:
                if self._failure is None:
                    write()
            except ScalawError as failure:
                self._failure = failure
            with self._lock:
                if not self._pending:
                    self._idle.set()
