"""The rows of a store: committed once, read whole (I2, I4, I5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.errors import Unreachable
from orchestrator.store.blobs import Blobs
from orchestrator.store.damage import Damage
from orchestrator.store.listing import Listing, cell_of, part_key
from orchestrator.store.part import DamagedPart, Part, as_table, encode_row
from orchestrator.store.part_reader import PartReader
from orchestrator.store.schema import ROW_SCHEMA, row_values

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

    def __init__(self, blobs: Blobs, damage: Damage | None = None) -> None:
        self.blobs = blobs
        self.reader = PartReader(blobs, ROW_SCHEMA, check_part, damage or Damage(blobs.uri))
        #: Compacted parts never change: they are read once.
        self._compacted: dict[str, pa.Table] = {}
        #: Keys of cells' own parts that were found sound, which doesn't change either.
        self._sound: set[str] = set()

    def commit(self, row: Mapping[str, Any]) -> bool:
        """Write a row; return False if the cell has one already."""
        status = row["status"]
        if status not in ("ok", "failed"):
            raise ValueError(f"status of a row is ok or failed, not {status!r}")
        return self.blobs.put_new(part_key(row["cell_id"], failed=status == "failed"), encode_row(row_values(row)))

    def done(self) -> dict[str, str]:
        """Return the status of each cell that has a row; parts that were not read before are opened and checked.

        Raises
        ------
        BadInput, Unreachable
            As `read`.
        """
        for _ in range(_ATTEMPTS):
            listing = Listing.take(self.blobs)
            compacted, complete = self.compacted(listing)
            held = cells_of(compacted.values())
            own = {cell: key for cell, key in listing.ok.items() if cell not in held}
            complete &= self._verify(own.values())
            ok = {cell: "ok" for cell, key in own.items() if key in self._sound}
            failed = {cell: key for cell, key in listing.failed.items() if cell not in held and cell not in ok}
            complete &= self._verify(failed.values())
            if complete:
                still = {cell: "failed" for cell, key in failed.items() if key in self._sound}
                return {**still, **dict.fromkeys(held, "ok"), **ok}
        raise self._too_fast()

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
        keys: set[str] = set()
        tables: list[pa.Table] = []
        for _ in range(_ATTEMPTS):
            listing = Listing.take(self.blobs)
            compacted, complete = self.compacted(listing)
            held = cells_of(compacted.values())

            def mine(own: Mapping[str, str], but: Collection[str]) -> Iterator[str]:
                return (
                    key
                    for cell, key in own.items()
                    if key not in keys and cell not in but and (wanted is None or cell in wanted)
                )

            complete &= self._gather(list(mine(listing.ok, held)), keys, tables)
            ok = {cell for cell, key in listing.ok.items() if key in keys} | held
            complete &= self._gather(list(mine(listing.failed, ok)), keys, tables)
            if complete:
                own = _own_rows(pa.concat_tables([ROW_SCHEMA.empty_table(), *tables]), held, ok)
                return _sorted(pa.concat_tables([*_first_of_each_cell(compacted), own]), wanted)
        raise self._too_fast()

    def compacted(self, listing: Listing) -> tuple[dict[str, pa.Table], bool]:
        """Return the sound compacted parts of a listing, in the order of their keys, and whether all are still there.

        Each is read once.
        """
        found = self.reader.read(key for key in listing.compacted if key not in self._compacted)
        self._compacted |= {key: as_table([part], ROW_SCHEMA) for key, part in found.parts.items()}
        return {key: self._compacted[key] for key in listing.compacted if key in self._compacted}, not found.gone

    def forget_failures(self, cells: Iterable[str]) -> None:
        """Delete the failure rows of some cells."""
        for cell in cells:
            key = part_key(cell, failed=True)
            self.blobs.delete(key)
            self._sound.discard(key)

    def _verify(self, keys: Iterable[str]) -> bool:
        """Open the parts that were not opened before; return whether all are still there."""
        complete = True
        for found in self.reader.batches(key for key in keys if key not in self._sound):
            self._sound.update(found.parts)
            complete &= not found.gone
        return complete

    def _gather(self, own: list[str], keys: set[str], tables: list[pa.Table]) -> bool:
        """Add the rows of some parts; return whether all are still there."""
        complete = True
        for found in self.reader.batches(own):
            keys.update(found.parts)
            self._sound.update(found.parts)
            tables.append(as_table(found.parts.values(), ROW_SCHEMA))
            complete &= not found.gone
        return complete

    def _too_fast(self) -> Unreachable:
        return Unreachable(f"the parts of {self.blobs.uri} change faster than they can be read: try again")


def check_part(key: str, part: Part) -> None:
    """Compare a part with what its name says; a compacted part holds rows that are ok, once each.

    Raises
    ------
    DamagedPart
        If it holds something else.
    """
    ids, statuses = part.column("cell_id"), set(part.column("status"))
    if "/compacted-" in key:
        if statuses != {"ok"} or len(set(ids)) != len(ids) or None in ids:
            raise DamagedPart("a compacted part holds each cell once, with status ok")
        return
    cell, failed = cell_of(key)
    if ids != [cell] or statuses != {"failed" if failed else "ok"}:
        raise DamagedPart("its row is not the one that its name says")


def cells_of(tables: Iterable[pa.Table]) -> frozenset[str]:
    """Return the ids of the cells that have a row in some tables."""
    return frozenset(cell for table in tables for cell in table["cell_id"].to_pylist())


def _own_rows(table: pa.Table, held: Collection[str], ok: Collection[str]) -> pa.Table:
    """Return the rows of cells' own parts but those that a compaction has copied, or a later row hides, meanwhile."""
    rows = zip(table["cell_id"].to_pylist(), table["status"].to_pylist(), strict=True)
    shown = [cell not in held and (status == "ok" or cell not in ok) for cell, status in rows]
    return table if all(shown) else table.filter(pa.array(shown, pa.bool_()))


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
