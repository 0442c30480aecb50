"""No single bit of what a store holds can flip and give another value; ``benchmarks/store_flips.py`` tries them all."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.store.checkpoints import DamagedCheckpoint, Progress
from orchestrator.store.documents import DamagedDocument, decode_document, encode_document
from orchestrator.store.part import DamagedPart, decode_part, encode_part
from orchestrator.store.schema import FITS_SCHEMA, ROW_SCHEMA, row_table

STAGE = "5a" * 32


def _flips(data, most):
    """Yield copies with one bit flipped: of the first and last bytes each, and random ones."""
    bits = {*range(64), *range(8 * len(data) - 64, 8 * len(data))}
    bits |= {random.Random(0).randrange(8 * len(data)) for _ in range(most)}
    for bit in sorted(bits):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        yield bytes(broken)


def _part(schema, table, error, most):
    data = encode_part(table)
    assert decode_part(data, schema, "part").equals(table.select(schema.names))
    for broken in _flips(data, most):
        with pytest.raises(error):
            decode_part(broken, schema, "part")


def test_of_a_part_of_one_row(row):
    _part(ROW_SCHEMA, row_table(row(1, error="text", status="failed")), DamagedPart, 3000)


def test_of_a_compacted_part(row):
    _part(ROW_SCHEMA, pa.concat_tables(row_table(row(k)) for k in range(60)).combine_chunks(), DamagedPart, 1500)


def test_of_a_part_of_fits(row):
    at = row(0)["started_at"]
    fits = [{"sweep": "a", "law": "product", "parameter": p, "value": 0.3, "fitted_at": at} for p in ("alpha", "beta")]
    _part(FITS_SCHEMA, pa.Table.from_pylist(fits, schema=FITS_SCHEMA), DamagedPart, 1500)


def test_of_a_document():
    document = {"cells": [f"{k:064x}" for k in range(20)], "sweep": {"name": "a", "seed": 0}, "task": "Übung"}
    data = encode_document(document)
    assert decode_document(data, "a.json", must_be_sealed=True) == document
    for broken in _flips(data, 3000):
        with pytest.raises(DamagedDocument, match=r"^a\.json is damaged") as refusal:
            decode_document(broken, "a.json", must_be_sealed=True)
        assert "\n" not in str(refusal.value)


def test_of_a_checkpoint(store):
    data = np.random.default_rng(0).bytes(1_200_000)
    store.checkpoints.save(STAGE, Progress.DONE, 3, data)
    (key,) = store.checkpoints.keys()
    for broken in _flips(data, 20):
        (store.blobs.root / key).write_bytes(broken)
        with pytest.raises(DamagedCheckpoint):
            store.checkpoints.load(STAGE)
