"""The rows of a store: committed once, read whole (I2, I4, I5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import Unreachable
from orchestrator.store.blobs import Blobs
from orchestrator.store.listing import Listing, cell_of, part_key
from orchestrator.store.part import DamagedPart, encode_part
from orchestrator.store.part_reader import PartReader
from orchestrator.store.schema import ROW_SCHEMA, row_table

#: How often a read starts over because a compaction took parts away under it.
_ATTEMPTS = 8


class Results:
    """Rows as parts below ``results/``.

    Guarantees
    ----------
    * A cell's own part is named by its id and written with ``put_new``: one writer wins, the row never changes.
    * A failure row has a name of its own, and no reader shows it beside the cell's row.
    * A compacted part holds copies of rows. Whatever copies exist, readers show one: the first compacted part that has
      the cell, else the cell's own.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.reader = PartReader(blobs, ROW_SCHEMA, _check)
        #: Compacted parts never change: they are read once.
        self._compacted: dict[str, pa.Table] = {}

    def commit(self, row: Mapping[str, Any]) -> bool:
        """Write a row; return False if the cell has one already."""
        status = row["status"]
        if status not in ("ok", "failed"):
            raise ValueError(f"status of a row is ok or failed, not {status!r}")
        return self.blobs.put_new(part_key(row["cell_id"], failed=status == "failed"), encode_part(row_table(row)))

    def done(self) -> dict[str, str]:
        """Return the status of each cell that has a row, without opening the cells' own parts."""
        listing = Listing.take(self.blobs)
        failed = dict.fromkeys(listing.failed, "failed")
        compacted = dict.fromkeys(cells_of(self.compacted(listing).values()), "ok")
        return {**failed, **compacted, **dict.fromkeys(listing.ok, "ok")}

    def read(self, cells: Collection[str] | None = None) -> pa.Table:
        """Return the rows, all or those of some cells, sorted by cell id.

        Raises
        ------
        BadInput
            If a newer scalaw wrote a part.
        Unreachable
            If the parts change faster than they can be read.
        """
        wanted = None if cells is None else frozenset(cells)
        sound: dict[str, pa.Table] = {}
        for _ in range(_ATTEMPTS):
            listing = Listing.take(self.blobs)
            try:
                tables = self._tables(listing, wanted, sound)
            except FileNotFoundError:
                continue
            return _sorted(pa.concat_tables([ROW_SCHEMA.empty_table(), *tables]), wanted)
        raise Unreachable(f"the parts of {self.blobs.uri} change faster than they can be read: try again")

    def _tables(self, listing: Listing, wanted: frozenset[str] | None, sound: dict[str, pa.Table]) -> list[pa.Table]:
        """Return the tables whose rows are shown; ``sound`` keeps the own parts read so far."""
        compacted = self.compacted(listing)
        held = cells_of(compacted.values())

        def read(own: Mapping[str, str]) -> dict[str, pa.Table]:
            keys = {cell: key for cell, key in own.items() if cell not in held and (wanted is None or cell in wanted)}
            sound.update(self.reader.read(key for key in keys.values() if key not in sound))
            return {cell: sound[key] for cell, key in keys.items() if key in sound}

        ok = read(listing.ok)
        failed = read({cell: key for cell, key in listing.failed.items() if cell not in ok})
        return [*_first_of_each_cell(compacted), *ok.values(), *failed.values()]

    def compacted(self, listing: Listing) -> dict[str, pa.Table]:
        """Return the sound compacted parts of a listing, in the order of their keys; each is read once."""
        self._compacted |= self.reader.read(key for key in listing.compacted if key not in self._compacted)
        return {key: self._compacted[key] for key in listing.compacted if key in self._compacted}

    def forget_failures(self, cells: Iterable[str]) -> None:
        """Delete the failure rows of some cells."""
        for cell in cells:
            self.blobs.delete(part_key(cell, failed=True))


def _check(key: str, table: pa.Table) -> None:
    """Compare a part with what its name says; a compacted part holds rows that are ok, once each."""
    statuses = set(table["status"].to_pylist())
    if "/compacted-" in key:
        ids = table["cell_id"].to_pylist()
        if statuses != {"ok"} or len(set(ids)) != len(ids):
            raise DamagedPart("a compacted part holds each cell once, with status ok")
        return
    cell, failed = cell_of(key)
    if table.num_rows != 1 or table["cell_id"][0].as_py() != cell or statuses != {"failed" if failed else "ok"}:
        raise DamagedPart("its row is not the one that its name says")


def cells_of(tables: Iterable[pa.Table]) -> frozenset[str]:
    """Return the ids of the cells that have a row in some tables."""
    return frozenset(cell for table in tables for cell in table["cell_id"].to_pylist())


def _first_of_each_cell(compacted: Mapping[str, pa.Table]) -> Iterator[pa.Table]:
    seen: set[str] = set()
    for table in compacted.values():
        ids = table["cell_id"].to_pylist()
        yield table if seen.isdisjoint(ids) else table.filter(pa.array([cell not in seen for cell in ids]))
        seen.update(ids)


def _sorted(table: pa.Table, wanted: frozenset[str] | None) -> pa.Table:
    if wanted is not None:
        table = table.filter(pc.is_in(table["cell_id"], pa.array(sorted(wanted), pa.string())))
    return table.combine_chunks().sort_by("cell_id")
