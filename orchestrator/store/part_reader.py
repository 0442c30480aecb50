"""Many parts at once: read in parallel, damaged ones named and set aside (I5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

import pyarrow as pa

from orchestrator.errors import Unreachable
from orchestrator.store.blobs import Blobs, UnreadableBlob
from orchestrator.store.damage import Damage
from orchestrator.store.listing import digest_of_name
from orchestrator.store.part import DamagedPart, Part, plain_types, read_part

#: Parts on their way at once: a bucket's latency asks for several, decoding holds two cores.
THREADS = 16
#: Parts whose rows are held as Python values at a time.
BATCH = 2048
#: Parts that a thread reads in one go, as to hand over a single one takes longer than to read it.
_TASK = 16

Check = Callable[[str, Part], None]


@dataclass
class Found:
    """What a reading brought.

    Attributes
    ----------
    parts
        The sound parts by key.
    gone
        Keys of parts that were not there any more, which compaction does to parts that a listing still named.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)


class PartReader:
    """Reads parts of one schema.

    Parameters
    ----------
    blobs
        Where the parts lie.
    schema
        Schema of the tables that come back.
    check
        Called with (key, part); raises ``DamagedPart`` where a part is not what its key promises.
    damage
        Takes what is found damaged.
    """

    def __init__(self, blobs: Blobs, schema: pa.Schema, check: Check, damage: Damage) -> None:
        self.blobs = blobs
        self.schema = schema
        self.check = check
        self.damage = damage
        self._types = plain_types(schema)

    def read(self, keys: Iterable[str]) -> Found:
        """Return the sound parts among ``keys``, and say which are gone; damaged ones are set aside.

        Raises
        ------
        BadInput
            If a newer scalaw wrote one of the parts.
        """
        found = Found()
        for batch in self.batches(keys):
            found.parts |= batch.parts
            found.gone += batch.gone
        return found

    def batches(self, keys: Iterable[str]) -> Iterator[Found]:
        """Yield what `read` returns, a few thousand parts at a time."""
        rest = iter(keys)
        while batch := list(islice(rest, BATCH)):
            if len(batch) <= _TASK:
                yield self._read_some(batch)
                continue
            tasks = [batch[at : at + _TASK] for at in range(0, len(batch), _TASK)]
            found = Found()
            with ThreadPoolExecutor(min(THREADS, len(tasks))) as threads:
                for some in threads.map(self._read_some, tasks):
                    found.parts |= some.parts
                    found.gone += some.gone
            yield found

    def inspect(self, key: str) -> Part:
        """Return a part as it lies, and leave it there whatever it is.

        Raises
        ------
        DamagedPart, UnreadableBlob, FileNotFoundError, BadInput
            If it is none, can't be read, is gone, or is a newer scalaw's.
        """
        return self._decoded(key, self.blobs.get(key))

    def _decoded(self, key: str, data: bytes) -> Part:
        part = read_part(data, self.schema, f"{self.blobs.uri}/{key}", self._types)
        if not part.is_sealed and (digest := digest_of_name(key)) is not None:
            if not hashlib.sha256(data).hexdigest().startswith(digest):
                raise DamagedPart("its content is not the one that it was named by")
            part = replace(part, is_sealed=True)
        self.check(key, part)
        return part

    def _read_some(self, keys: list[str]) -> Found:
        found = Found()
        for key in keys:
            data = None
            try:
                data = self.blobs.get(key)
                found.parts[key] = self._decoded(key, data)
            except FileNotFoundError:
                found.gone.append(key)
            except (DamagedPart, UnreadableBlob) as reason:
                self._set_aside(key, data, str(reason))
        return found

    def _set_aside(self, key: str, data: bytes | None, reason: str) -> None:
        """Move a damaged part out of the readers' way, unless a sound one has taken its place meanwhile."""
        digest = hashlib.sha256(key.encode() if data is None else data).hexdigest()
        target = f"damaged/{digest[:12]}-{key.rpartition('/')[2]}"
        try:
            if self._still(key, data):
                self.blobs.move(key, target)
            fate = f"moved to {target}"
        except FileNotFoundError:
            fate = "another reader moved it"
        except Unreachable:
            fate = "left in its place, where nothing can be written"
        self.damage.name(key, reason, fate)

    def _still(self, key: str, data: bytes | None) -> bool:
        try:
            return self.blobs.get(key) == data
        except UnreadableBlob:
            return data is None
