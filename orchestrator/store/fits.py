"""What was fitted, from how many rows: the ``fits`` table."""

from __future__ import annotations

import hashlib
from datetime import UTC

import pyarrow as pa

from orchestrator.store.blobs import Blobs
from orchestrator.store.part import DamagedPart, encode_part
from orchestrator.store.part_reader import PartReader
from orchestrator.store.schema import FITS_SCHEMA

FOLDER = "fits"


class Fits:
    """Fits as parts below ``fits/``, named by their time and content; committing one twice leaves one."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.reader = PartReader(blobs, FITS_SCHEMA, _check)

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
        return pa.concat_tables([FITS_SCHEMA.empty_table(), *self._sound(keys)]).combine_chunks()

    def _sound(self, keys: list[str]) -> list[pa.Table]:
        try:
            return list(self.reader.read(keys).values())
        except FileNotFoundError:  # another reader set a damaged part aside between our listing and our reading
            return list(self.reader.read(key for key in keys if self.blobs.exists(key)).values())


def _check(key: str, table: pa.Table) -> None:
    if table["law"].null_count or table["parameter"].null_count:
        raise DamagedPart("a fit names its law and its parameters")
