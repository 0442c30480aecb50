"""The store: rows committed once, read whole; sweeps, heartbeats and fits beside them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from orchestrator.errors import BadInput, Unreachable
from orchestrator.store.blobs import Blobs, UnreadableBlob
from orchestrator.store.check import CheckReport, check_blobs
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.compaction import compact
from orchestrator.store.curves import Curves
from orchestrator.store.damage import Damage
from orchestrator.store.documents import DamagedDocument, decode_document, encode_document
from orchestrator.store.fits import Fits
from orchestrator.store.identity import KEY, make_identity
from orchestrator.store.listing import FOLDER
from orchestrator.store.location import open_blobs
from orchestrator.store.part import DamagedPart, decode_part
from orchestrator.store.patience import PatientBlobs
from orchestrator.store.results import Results
from orchestrator.store.schema import ROW_SCHEMA
from orchestrator.store.sweeps import SweepChange, Sweeps, sweep_name
from orchestrator.store.weights import Weights

#: Folders that a store consists of.
FOLDERS = frozenset({"sweeps", "results", "fits", "checkpoints", "logs", "damaged", "programs", "curves", "weights"})
#: Where it is recorded how far programs keep their promises.
VERDICTS = "programs"
#: What marks are called, and what one holds.
MARKS = "logs/mark-"
MARK = b"scalaw"


def open_store(uri: str, *, create: bool = False) -> Store:
    """Return the store at a folder or object-store prefix.

    Parameters
    ----------
    uri
        A path, ``file://``, ``s3://``, ``gs://`` or ``az://``.
    create
        Whether it may be made; it is made by the first write.

    Raises
    ------
    BadInput
        If there is no store, something else is there, or a newer scalaw wrote it (its first part is looked at; a
        mixed store is refused when the newer part is read).
    Unreachable
        If it can't be read or written.
    """
    blobs = open_blobs(uri, create=create)
    there = blobs.children()
    empty = there <= FOLDERS and all(_is_mark(key) for folder in there for key in blobs.list(folder))
    if empty and not create:
        raise BadInput(f"there is no store at {blobs.uri}: check the path, or let 'scalaw run' make one")
    if not empty and not _is_store(blobs, there):
        things = ", ".join(sorted(there)[:3])
        raise BadInput(f"{blobs.uri} holds other things ({things}) and is no store: name another folder")
    for key in [key for key in blobs.list(FOLDER) if key.endswith(".parquet")][:1]:
        with suppress(DamagedPart, UnreadableBlob, FileNotFoundError):  # whoever reads the rows sets it aside
            decode_part(blobs.get(key), ROW_SCHEMA, f"{blobs.uri}/{key}")
    return Store(blobs)


def _is_mark(key: str) -> bool:
    """Return whether a blob is but the mark by which another process finds out that it sees the same folder."""
    return key.startswith(MARKS)


def _is_store(blobs: Blobs, there: set[str]) -> bool:
    """Return whether a folder is a store: by its ``store.json``, or the record of a sweep that an older scalaw left.

    Folders called results or logs are anybody's; nothing in them is touched.
    """
    if KEY in there:
        return True
    sweeps = Sweeps(blobs, Damage(blobs.uri))
    return there <= FOLDERS and bool(sweeps.names()) if "sweeps" in there else False


class Store:
    """Rows, sweeps and fits below one root.

    Guarantees: a cell has at most one row that readers see, an ``ok`` row hiding a failure (I2); a part is never
    changed (I5); a damaged part is set aside in ``damaged/``, and what is damaged is named once, listed in
    :attr:`damaged`, and never breaks a query.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.uri = blobs.uri
        #: States of stages that still have work hanging on them.
        self.checkpoints = Checkpoints(blobs)
        #: Final weights that were asked for.
        self.weights = Weights(blobs)
        self._damage = Damage(blobs.uri)
        self._results = Results(blobs, self._damage)
        self._fits = Fits(blobs, self._damage)
        self._curves = Curves(blobs, self._damage)
        self._sweeps = Sweeps(blobs, self._damage)
        self._named = False

    @property
    def waits(self) -> bool:
        """True while a call is tried again, as the store does not answer or takes nothing."""
        return isinstance(self.blobs, PatientBlobs) and self.blobs.waits

    def patient(self, patience_s: float) -> Store:
        """Return the same store, whose calls are tried again for so long before they raise ``Unreachable``."""
        return Store(PatientBlobs(self.blobs, patience_s))

    def identity(self) -> str:
        """Return what the store calls itself; it is given a name where it has none yet."""
        self._named = True
        return make_identity(self.blobs)

    def insist_on(self, store_id: str) -> None:
        """Refuse to write, here and from now on, where another store has taken the place of this one.

        Raises
        ------
        StoreReplaced
            If one has already.
        """
        self.blobs.insist_on(store_id)

    @property
    def damaged(self) -> list[str]:
        """Keys of parts and documents that were found damaged through this object."""
        return list(self._damage.keys)

    def commit_row(self, row: Mapping[str, Any]) -> bool:
        """Write a cell's row; return False where the cell has a part of that status already, which then stays."""
        self._make()
        return self._results.commit(row)

    def done(self) -> dict[str, str]:
        """Return the status of each cell that has a row; what this object did not read before is opened and checked."""
        return self._results.done()

    def forget_failures(self, cell_ids: Iterable[str]) -> None:
        """Remove failure rows, so that their cells count as missing."""
        self._results.forget_failures(cell_ids)

    def results(self, sweep: str | None = None) -> pa.Table:
        """Return one row per cell in ``ROW_SCHEMA``, of one sweep or of all, sorted by cell id.

        Raises
        ------
        BadInput
            If there is no such sweep, or a newer scalaw wrote a part.
        """
        return self._results.read(None if sweep is None else self.sweep(sweep)["cells"])

    def rows(self, cell_ids: Collection[str]) -> pa.Table:
        """Return the rows of some cells, as `results` does; those without one have none."""
        return self._results.read(cell_ids)

    def compact(self, *, at_least: int = 2) -> int:
        """Merge the cells' own parts into one where there are at least so many; return how many rows were merged.

        Safe to kill, and to call from several processes at once, while others read and commit.

        Raises
        ------
        Unreachable
            If the merged part does not read back equal; nothing was deleted.
        """
        return compact(self._results, at_least=at_least)

    def save_sweep(self, name: str, document: Mapping[str, Any]) -> SweepChange:
        """Record a resolved sweep and its cell ids; what differs from the newest of that name is a new version."""
        self._make()
        return self._sweeps.save(name, document)

    def sweeps(self, *, every_version: bool = False) -> dict[str, dict[str, Any]]:
        """Return the newest version of each sweep by name, or every one by ``NAME@VERSION``; damaged ones are named."""
        return self._sweeps.all(every_version=every_version)

    def sweep(self, name: str) -> dict[str, Any]:
        """Return one recorded sweep: ``NAME``, which is its newest version, or ``NAME@VERSION``.

        Raises
        ------
        BadInput
            If there is none of that name, or it is damaged.
        """
        return self._sweeps.load(name)

    def version(self, name: str) -> int:
        """Return the number of the version that ``NAME`` or ``NAME@VERSION`` means; 0 where it was never run."""
        return self._sweeps.version(name)

    def only_sweep(self, name: str | None) -> str | None:
        """Return the sweep that a verb means: the one named, the only one, or ``None`` where there is none.

        Raises
        ------
        BadInput
            If there are several and none is named, or none has that name.
        """
        if name is not None:
            return self._sweeps.resolve(name)
        names = self._sweeps.names()
        if len(names) > 1:
            raise BadInput(f"{self.uri} holds several sweeps; name one as `sweep`: {', '.join(names)}")
        return names[0] if names else None

    def save_heartbeat(self, name: str, document: Mapping[str, Any]) -> None:
        """Note that a driver is at work on a sweep."""
        self.blobs.replace(_heartbeat_key(name), encode_document(document))

    def heartbeat(self, name: str) -> dict[str, Any] | None:
        """Return the last heartbeat of a sweep's driver, or ``None``; one that is damaged is named and says nothing."""
        return self._document(_heartbeat_key(name), "the next driver writes it anew")

    def save_verdict(self, key: str, document: Mapping[str, Any]) -> None:
        """Record how far a program's cells may share here, under what that depends on."""
        self._make()
        self.blobs.replace(f"{VERDICTS}/{key}.json", encode_document(document))

    def verdict(self, key: str) -> dict[str, Any] | None:
        """Return what was recorded, or ``None``; one that is damaged is named, and what it says is tried again."""
        return self._document(f"{VERDICTS}/{key}.json", "the program is tried again", must_be_sealed=True)

    def _document(self, key: str, mend: str, *, must_be_sealed: bool = False) -> dict[str, Any] | None:
        """Return a document, or ``None`` where there is none; one that is damaged is named and says nothing."""
        try:
            return decode_document(self.blobs.get(key), key, must_be_sealed=must_be_sealed)
        except FileNotFoundError:
            return None
        except (DamagedDocument, UnreadableBlob) as damage:
            reason = damage.reason if isinstance(damage, DamagedDocument) else str(damage)
            self._damage.name(key, reason, mend)
            return None

    def save_run_log(self, name: str, text: str) -> None:
        """Write what a run of a sweep has said so far."""
        self.blobs.replace(f"logs/{name}.log", text.encode(errors="replace"))

    def run_log(self, name: str) -> str:
        """Return what the last run of a sweep said, or nothing."""
        try:
            return self.blobs.get(f"logs/{name}.log").decode(errors="replace")
        except (FileNotFoundError, UnreadableBlob):
            return ""

    def commit_fits(self, table: pa.Table) -> None:
        """Add fits as a part of their own; the same fits of the same time are added once."""
        self._make()
        self._fits.commit(table)

    def fits(self) -> pa.Table:
        """Return all fits in ``FITS_SCHEMA``, oldest first."""
        return self._fits.read()

    def save_curves(self, tables: Sequence[pa.Table]) -> bool:
        """Write the points of some finished stages; those that are there already are written once."""
        self._make()
        return self._curves.save(tables)

    def curve_points(self) -> pa.Table:
        """Return the points of all stages in ``CURVES_SCHEMA``."""
        return self._curves.read()

    def check(self) -> CheckReport:
        """Read all that the store holds and compare it with its checksums; nothing is moved or written."""
        return check_blobs(self.blobs)

    def probe(self) -> None:
        """Write, read back and delete a small blob.

        Raises
        ------
        Unreachable
            If one of them fails.
        """
        key = self.leave_mark()
        try:
            if self.blobs.get(key) != MARK:
                raise Unreachable(f"the store {self.uri} does not give back what was written")
        except FileNotFoundError as error:
            raise Unreachable(f"the store {self.uri} lost what was written a moment ago") from error
        finally:
            self.take_mark(key)

    def leave_mark(self) -> str:
        """Write a small blob by which another process knows this store; return its key."""
        key = f"{MARKS}{uuid.uuid4().hex}"
        self.blobs.put_new(key, MARK)
        return key

    def sees_mark(self, key: str) -> bool:
        """Return whether what `leave_mark` wrote elsewhere is here."""
        try:
            return self.blobs.get(key) == MARK
        except FileNotFoundError:
            return False

    def take_mark(self, key: str) -> None:
        """Take a mark away."""
        self.blobs.delete(key)

    def _make(self) -> None:
        """Give the store its name before the first row, sweep or fit; one of an older scalaw gets its name so, too."""
        if not self._named:
            self.identity()


def _heartbeat_key(name: str) -> str:
    return f"logs/{sweep_name(name)}.heartbeat.json"
