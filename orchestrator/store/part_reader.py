"""Many parts at once: read in parallel, damaged ones named and set aside (I5)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from orchestrator.errors import Unreachable
from orchestrator.store.blobs import Blobs
from orchestrator.store.part import DamagedPart, decode_part

#: Parts on their way at once; a bucket's latency asks for several, decoding holds two cores.
THREADS = 16

Check = Callable[[str, pa.Table], None]
_log = logging.getLogger(__name__)


class PartReader:
    """Reads parts of one schema.

    Parameters
    ----------
    blobs
        Where the parts lie.
    schema
        Schema of the tables that come back.
    check
        Called with (key, table); raises ``DamagedPart`` where a table is not what its key promises.

    Attributes
    ----------
    damaged
        Keys of the parts found damaged so far, as they were named before they were moved to ``damaged/``.
    """

    def __init__(self, blobs: Blobs, schema: pa.Schema, check: Check) -> None:
        self.blobs = blobs
        self.schema = schema
        self.check = check
        self.damaged: list[str] = []

    def read(self, keys: Iterable[str]) -> dict[str, pa.Table]:
        """Return the tables of the sound parts among ``keys``.

        Raises
        ------
        FileNotFoundError
            If a part is gone, which compaction does to parts that a listing still named.
        BadInput
            If a newer scalaw wrote one of the parts.
        """
        names = list(keys)
        if len(names) <= 1:
            found = [self._read_one(key) for key in names]
        else:
            with ThreadPoolExecutor(THREADS) as threads:
                found = list(threads.map(self._read_one, names))
        return {key: table for key, table in zip(names, found, strict=True) if table is not None}

    def _read_one(self, key: str) -> pa.Table | None:
        data = self.blobs.get(key)
        try:
            table = decode_part(data, self.schema, f"{self.blobs.uri}/{key}")
            self.check(key, table)
        except DamagedPart as reason:
            self._set_aside(key, data, str(reason))
            return None
        return table

    def _set_aside(self, key: str, data: bytes, reason: str) -> None:
        """Move a damaged part out of the readers' way, unless a sound one has taken its place meanwhile."""
        target = f"damaged/{hashlib.sha256(data).hexdigest()[:12]}-{key.rpartition('/')[2]}"
        try:
            if self.blobs.get(key) == data:
                self.blobs.move(key, target)
            fate = f"moved to {target}"
        except FileNotFoundError:
            fate = "another reader moved it"
        except Unreachable:
            fate = "left in its place, where nothing can be written"
        if key not in self.damaged:
            self.damaged.append(key)
            _log.warning("%s/%s is damaged (%s); %s", self.blobs.uri, key, reason, fate)
