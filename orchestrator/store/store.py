"""The store: rows committed once, read whole; sweeps and fits beside them."""

from __future__ import annotations

import hashlib
import io
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.errors import BadInput
from orchestrator.store.blobs import Blobs
from orchestrator.store.location import open_blobs
from orchestrator.store.parts import read_part, read_parts
from orchestrator.store.schema import FITS_SCHEMA, ROW_SCHEMA, row_table

#: Folders that a store consists of; one of them marks a folder as ours.
FOLDERS = frozenset({"sweeps", "results", "fits", "checkpoints", "logs", "damaged"})
_ROW_KEY = re.compile(r"results/([0-9a-f]{64})(\.failed)?\.parquet")


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
        If there is no store, something else is there, or a newer scalaw wrote it.
    Unreachable
        If it can't be read or written.
    """
    blobs = open_blobs(uri, create=create)
    there = blobs.children()
    if there and not there & FOLDERS:
        raise BadInput(
            f"{blobs.uri} holds other things ({', '.join(sorted(there)[:3])}) and is no store: name another folder"
        )
    if not there and not create:
        raise BadInput(
            f"there is no store at {blobs.uri}: check the path, or fill one with 'scalaw run SWEEP --store URI'"
        )
    store = Store(blobs)
    for key in blobs.list("results")[:1]:
        read_part(blobs, key, ROW_SCHEMA)
    return store


class Store:
    """Rows, sweeps and fits below one root.

    Guarantees: of several commits of one cell one is kept (I2); a part is never changed (I5); a damaged part is set
    aside in ``damaged/`` and listed in :attr:`damaged`, and never breaks a query.
    """

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.uri = blobs.uri
        #: Keys of parts that were found damaged and set aside by this object.
        self.damaged: list[str] = []

    def commit_row(self, row: Mapping[str, Any]) -> bool:
        """Write a cell's row; return False where the cell has one of that status already, which then stays."""
        suffix = ".failed.parquet" if row["status"] == "failed" else ".parquet"
        return self.blobs.put_new(f"results/{row['cell_id']}{suffix}", _parquet(row_table(row)))

    def done(self) -> dict[str, str]:
        """Return the status of each cell that has a row, from the names of the parts alone."""
        status: dict[str, str] = {}
        for key in self.blobs.list("results"):
            match = _ROW_KEY.fullmatch(key)
            if match and not (match[2] and match[1] in status):
                status[match[1]] = "failed" if match[2] else "ok"
        return status

    def forget_failures(self, cell_ids: Iterable[str]) -> None:
        """Remove failure rows, so that their cells count as missing."""
        for cell_id in cell_ids:
            self.blobs.delete(f"results/{cell_id}.failed.parquet")

    def results(self, sweep: str | None = None) -> pa.Table:
        """Return one row per cell in ``ROW_SCHEMA``, of one sweep or of all.

        Raises
        ------
        BadInput
            If there is no such sweep, or a newer scalaw wrote a part.
        """
        done = self.done()
        wanted = done if sweep is None else [c for c in self._sweep(sweep)["cells"] if c in done]
        keys = [f"results/{c}{'.failed' if done[c] == 'failed' else ''}.parquet" for c in wanted]
        return self._read(keys, ROW_SCHEMA)

    def save_sweep(self, name: str, document: Mapping[str, Any]) -> None:
        """Record a resolved sweep and its cell ids, over an earlier one of that name."""
        self.blobs.replace(f"sweeps/{name}.json", json.dumps(document, indent=1, sort_keys=True).encode())

    def sweeps(self) -> dict[str, dict[str, Any]]:
        """Return the recorded sweeps by name."""
        return {key[len("sweeps/") : -len(".json")]: self._json(key) for key in self.blobs.list("sweeps")}

    def only_sweep(self, name: str | None) -> str | None:
        """Return the sweep that a verb means: the one named, the only one, or ``None`` where there is none.

        Raises
        ------
        BadInput
            If there are several and none is named, or none has that name.
        """
        if name is not None:
            self._sweep(name)
            return name
        names = sorted(self.sweeps())
        if len(names) > 1:
            raise BadInput(f"{self.uri} holds several sweeps; name one with --sweep: {', '.join(names)}")
        return names[0] if names else None

    def save_heartbeat(self, name: str, document: Mapping[str, Any]) -> None:
        """Note that a driver is at work on a sweep."""
        self.blobs.replace(f"logs/{name}.heartbeat.json", json.dumps(document).encode())

    def heartbeat(self, name: str) -> dict[str, Any] | None:
        """Return the last heartbeat of a sweep's driver, or ``None``."""
        try:
            return self._json(f"logs/{name}.heartbeat.json")
        except FileNotFoundError:
            return None

    def commit_fits(self, table: pa.Table) -> None:
        """Add fits as a part of their own."""
        data = _parquet(table.cast(FITS_SCHEMA))
        stamp = table["fitted_at"][0].as_py().strftime("%Y%m%dT%H%M%S%fZ")
        self.blobs.put_new(f"fits/{stamp}-{hashlib.sha256(data).hexdigest()[:12]}.parquet", data)

    def fits(self) -> pa.Table:
        """Return all fits in ``FITS_SCHEMA``, oldest first."""
        return self._read(self.blobs.list("fits"), FITS_SCHEMA)

    def probe(self) -> None:
        """Write, read back and delete a small blob.

        Raises
        ------
        Unreachable
            If one of them fails.
        """
        key = f"logs/probe-{uuid.uuid4().hex}"
        self.blobs.put_new(key, b"scalaw")
        self.blobs.get(key)
        self.blobs.delete(key)

    def _read(self, keys: list[str], schema: pa.Schema) -> pa.Table:
        table, damaged = read_parts(self.blobs, keys, schema)
        for key in damaged:
            self.blobs.move(key, f"damaged/{key.replace('/', '-')}")
        self.damaged += damaged
        return table

    def _sweep(self, name: str) -> dict[str, Any]:
        sweeps = self.sweeps()
        if name not in sweeps:
            raise BadInput(f"{self.uri} has no sweep {name!r}; it has {', '.join(sorted(sweeps)) or 'none'}")
        return sweeps[name]

    def _json(self, key: str) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(self.blobs.get(key))
        except ValueError as failure:
            raise BadInput(
                f"{self.uri}/{key} is damaged ({failure}): run the sweep again to write it anew"
            ) from failure
        return document


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
