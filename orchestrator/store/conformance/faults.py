"""Blobs that fail as networks and disks do, by a seed: what is tried on top of them must hold all the same."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.errors import Unreachable
from orchestrator.store.blobs import Blobs, Stored

Answer = TypeVar("Answer")
Keys = list[str]  # below, ``list`` is a method


@dataclass
class FaultyBlobs:
    """Other blobs, of whose calls a share goes wrong; behind ``PatientBlobs`` they are to be as good as sound ones.

    What goes wrong: a call is refused (*503*) and nothing was done; it was done and its answer is lost (*time-out*); it
    is slow; a listing is *torn*, its pages from before and after what others did meanwhile, or breaks off.

    Parameters
    ----------
    share
        Of the calls, for each thing that can go wrong.
    slow_s
        Seconds that a slow call takes.

    Attributes
    ----------
    met
        How often each thing went wrong.
    """

    blobs: Blobs
    seed: int = 0
    share: float = 0.08
    slow_s: float = 0.005
    met: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.uri = self.blobs.uri
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()

    def insist_on(self, store_id: str) -> None:
        """See ``Blobs``."""
        self.blobs.insist_on(store_id)

    def put_new(self, key: str, data: bytes) -> bool:
        """See ``Blobs``."""
        return self._faulty(lambda: self.blobs.put_new(key, data))

    def replace(self, key: str, data: bytes) -> None:
        """See ``Blobs``."""
        self._faulty(lambda: self.blobs.replace(key, data))

    def get(self, key: str) -> bytes:
        """See ``Blobs``."""
        return self._faulty(lambda: self.blobs.get(key))

    def exists(self, key: str) -> bool:
        """See ``Blobs``."""
        return self._faulty(lambda: self.blobs.exists(key))

    def children(self) -> set[str]:
        """See ``Blobs``."""
        return self._faulty(self.blobs.children)

    def inventory(self) -> dict[str, Stored]:
        """See ``Blobs``."""
        return self._faulty(self.blobs.inventory)

    def move(self, source: str, target: str) -> None:
        """See ``Blobs``; where an answer is lost, the next try finds the source gone."""
        self._faulty(lambda: self.blobs.move(source, target))

    def delete(self, key: str) -> None:
        """See ``Blobs``."""
        self._faulty(lambda: self.blobs.delete(key))

    def list(self, folder: str) -> list[str]:
        """See ``Blobs``."""
        return self._faulty(lambda: self._torn(folder) if self._goes_wrong("torn") else self.blobs.list(folder))

    def _torn(self, folder: str) -> Keys:
        """Return a listing whose second half is of a later time than its first, as pages are."""
        earlier = self.blobs.list(folder)
        time.sleep(self.slow_s)
        later = self.blobs.list(folder)
        middle = earlier[len(earlier) // 2] if earlier else ""
        return [*(key for key in earlier if key < middle), *(key for key in later if key >= middle)]

    def _faulty(self, call: Callable[[], Answer]) -> Answer:
        if self._goes_wrong("slow"):
            time.sleep(self.slow_s)
        if self._goes_wrong("503"):
            raise Unreachable(f"{self.uri}: 503 slow down")
        answer = call()
        if self._goes_wrong("time-out"):
            raise Unreachable(f"{self.uri}: timed out")
        return answer

    def _goes_wrong(self, what: str) -> bool:
        with self._lock:
            wrong = self._random.random() < self.share
            self.met[what] += wrong
        return wrong
