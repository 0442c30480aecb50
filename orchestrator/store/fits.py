"""What was fitted, from how many rows: the ``fits`` table."""

from __future__ import annotations

import hashlib
from datetime import UTC

import pyarrow as pa

from orchestrator.store.blobs import Blobs
from orchestrator.store.damage import Damage
from orchestrator.store.part import DamagedPart, Part, as_table, encode_part
from orchestrator.store.part_reader import PartReader
from orchestrator.store.schema import FITS_SCHEMA

FOLDER = "fits"


class Fits:
    """Fits as parts below ``fits/``, named by their time and content; committing one twice leaves one."""

    def __init__(self, blobs: Blobs, damage: Damage) -> None:
        self.blobs = blobs
        self.reader = PartReader(blobs, FITS_SCHEMA, check_fit, damage)

    def commit(self, table: pa.Table) -> bool:
        """Write a fit, one row a parameter; return False if the very same is there, or the table has no row.

        Raises
        ------
        KeyError, pyarrow.ArrowInvalid
            If the columns are not those of ``FITS_SCHEMA``: a bug of the caller.
        """
        if not table.num_rows:
            return False
        table = table.select(FITS_SCHEMA.names).cast(FITS_SCHEMA)
        data = encode_part(table)
        fitted_at = table["fitted_at"][0].as_py().astimezone(UTC)
        name = f"{fitted_at:%Y%m%dT%H%M%S.%fZ}-{hashlib.sha256(data).hexdigest()[:12]}"
        return self.blobs.put_new(f"{FOLDER}/{name}.parquet", data)

    def read(self) -> pa.Table:
        """Return all fits, oldest first; an empty table where there are none.

        Raises
        ------
        BadInput
            If a newer scalaw wrote one of the parts.
        """
        keys = [key for key in self.blobs.list(FOLDER) if key.endswith(".parquet")]
        found = self.reader.read(keys).parts  # one that is gone was damaged, and another reader set it aside
        tables = [as_table([found[key]], FITS_SCHEMA) for key in keys if key in found]
        return pa.concat_tables([FITS_SCHEMA.empty_table(), *tables]).combine_chunks()


def check_fit(key: str, part: Part) -> None:
    """Look whether a part is one of fits.

    Raises
    ------
    DamagedPart
        If it is not.
    """
    if None in part.column("law") or None in part.column("parameter"):
        raise DamagedPart("a fit names its law and its parameters")
