"""Blobs that try again for a while where the store does not answer or takes nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from orchestrator.errors import StoreReplaced, Unreachable
from orchestrator.store.blobs import Blobs, Stored, UnreadableBlob

Answer = TypeVar("Answer")
#: First and longest wait between two tries.
FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 30.0


@dataclass
class PatientBlobs:
    """Other blobs, each call tried again with growing waits for so long; then what it raised last is raised.

    A disk that is full or read-only, a share that is gone for a minute and a bucket that throttles are all
    `Unreachable`; a store that another one has replaced is not tried again, nor a single blob that nobody can read.

    Parameters
    ----------
    patience_s
        Longest time from the first failure of a call to its last try.
    """

    blobs: Blobs
    patience_s: float
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _waiting: int = field(default=0)

    def __post_init__(self) -> None:
        self.uri = self.blobs.uri

    @property
    def waits(self) -> bool:
        """True while a call is tried again."""
        return self._waiting > 0

    def put_new(self, key: str, data: bytes) -> bool:
        """See ``Blobs``; a try whose answer was lost may have written, then the next says that the name is taken."""
        return self._tried(lambda: self.blobs.put_new(key, data))

    def replace(self, key: str, data: bytes) -> None:
        """See ``Blobs``."""
        self._tried(lambda: self.blobs.replace(key, data))

    def get(self, key: str) -> bytes:
        """See ``Blobs``."""
        return self._tried(lambda: self.blobs.get(key))

    def exists(self, key: str) -> bool:
        """See ``Blobs``."""
        return self._tried(lambda: self.blobs.exists(key))

    def list(self, folder: str) -> list[str]:
        """See ``Blobs``."""
        return self._tried(lambda: self.blobs.list(folder))

    def children(self) -> set[str]:
        """See ``Blobs``."""
        return self._tried(self.blobs.children)

    def move(self, source: str, target: str) -> None:
        """See ``Blobs``."""
        self._tried(lambda: self.blobs.move(source, target))

    def inventory(self) -> dict[str, Stored]:
        """See ``Blobs``."""
        return self._tried(self.blobs.inventory)

    def delete(self, key: str) -> None:
        """See ``Blobs``."""
        self._tried(lambda: self.blobs.delete(key))

    def insist_on(self, store_id: str) -> None:
        """See ``Blobs``."""
        self._tried(lambda: self.blobs.insist_on(store_id))

    def _tried(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except (StoreReplaced, UnreadableBlob):
            raise
        except Unreachable as first:
            failure = first
        self._waiting += 1
        try:
            return self._again(call, failure)
        finally:
            self._waiting -= 1

    def _again(self, call: Callable[[], Answer], failure: Unreachable) -> Answer:
        end_s, wait_s = self.now_s() + self.patience_s, FIRST_WAIT_S
        while self.now_s() < end_s:
            # Workers that failed together should not come back together.
            self.sleep(min(wait_s * random.uniform(0.75, 1.25), max(0.0, end_s - self.now_s())))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            try:
                return call()
            except (StoreReplaced, UnreadableBlob):
                raise
            except Unreachable as again:
                failure = again
        raise failure
