"""Columns of the two tables a store holds, and the version that every part carries in its metadata."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

#: Raised when a column is added or changes its meaning; older parts stay readable, missing columns become null. From 4
#: on every part is sealed.
SCHEMA_VERSION = 6
VERSION_KEY = b"scalaw.schema_version"

_TIME = pa.timestamp("us", tz="UTC")
_TEXT = (
    "cell_id task data_digest recipe optimizer schedule compression compression_method device_kind cpu_capability "
    "worker status error backend warnings metrics sharing stage_id"
)
_COUNTS = (
    "seed recipe_version batch_size params_total params_non_embedding data_examples data_tokens epochs "
    "finetune_examples finetune_epochs model_bytes peak_memory_bytes world_size threads steps attempt"
)
_TYPES = {
    **dict.fromkeys(_TEXT.split(), pa.string()),
    **dict.fromkeys(_COUNTS.split(), pa.int64()),
    "simulated": pa.bool_(),
    "started_at": _TIME,
    "finished_at": _TIME,
}
#: Order of the columns; those without an entry in ``_TYPES`` are doubles (FLOPs outgrow 64-bit integers).
_ORDER = """
cell_id task seed recipe_version data_digest simulated recipe optimizer schedule learning_rate batch_size
params_total params_non_embedding data_examples data_tokens data_fraction epochs finetune_examples finetune_epochs
compression compression_method compression_level bits_per_param density rank_ratio epsilon fidelity
train_loss val_loss test_loss bits_per_byte accuracy precision_macro recall_macro f1_macro model_bytes
latency_p50_s latency_p95_s throughput_per_s latency_p50_s_b32 latency_p95_s_b32 throughput_per_s_b32 peak_memory_bytes
backend warnings metrics sharing stage_id
flops flops_evaluation wall_s device_s device_kind world_size threads cpu_capability steps
attempt worker started_at finished_at status error
"""

_METADATA = {VERSION_KEY: str(SCHEMA_VERSION).encode()}

#: One row a cell.
ROW_SCHEMA = pa.schema(
    [pa.field(name, _TYPES.get(name, pa.float64())) for name in _ORDER.split()],
    metadata=_METADATA,
)

_STRUCT = pa.struct(list(ROW_SCHEMA))

#: One row a fitted parameter.
FITS_SCHEMA = pa.schema(
    [
        ("sweep", pa.string()),
        ("task", pa.string()),
        ("law", pa.string()),
        ("parameter", pa.string()),
        ("value", pa.float64()),
        ("lo", pa.float64()),
        ("hi", pa.float64()),
        ("held_out_rmse_log", pa.float64()),
        ("n_rows", pa.int64()),
        ("best", pa.bool_()),
        ("fitted_at", _TIME),
    ],
    metadata=_METADATA,
)

#: One row a point of a stage's training; counts are from the beginning of the stage's phase.
CURVES_SCHEMA = pa.schema(
    [
        ("stage_id", pa.string()),
        ("parent_id", pa.string()),
        ("phase", pa.string()),
        ("step", pa.int64()),
        ("examples", pa.int64()),
        ("tokens", pa.int64()),
        ("flops", pa.float64()),
        ("train_loss", pa.float64()),
        ("val_loss", pa.float64()),
        ("learning_rate", pa.float64()),
        ("gradient_norm", pa.float64()),
        ("seconds", pa.float64()),
    ],
    metadata=_METADATA,
)


def row_table(row: Mapping[str, Any]) -> pa.Table:
    """Return a one-row table in ``ROW_SCHEMA``; columns that the row leaves out are null.

    Raises
    ------
    KeyError, TypeError, ValueError
        As `row_values`.
    """
    batch = pa.RecordBatch.from_struct_array(pa.array([row_values(row)], _STRUCT))
    return pa.Table.from_batches([batch]).replace_schema_metadata(_METADATA)


def row_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a row is not null, in the order of the columns, as plain values.

    Raises
    ------
    KeyError
        If the row has a column that the schema does not know: a bug of the caller.
    TypeError, ValueError
        If a value is none of its column, such as a count with a fraction: likewise.
    """
    unknown = sorted(row.keys() - _FIELDS.keys())
    if unknown:
        raise KeyError(f"columns not in the row schema: {', '.join(unknown)}")
    return {name: plain(name, row[name]) for name, plain in _FIELDS.items() if row.get(name) is not None}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a text, not {value!r}")
    # An error's message may be any bytes.
    return str(value) if value.isascii() else value.encode(errors="replace").decode()


def _count(name: str, value: Any) -> int:
    """pyarrow would cut a fraction off a count."""
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"{name} is a count, not {value}")
        return int(value)
    return operator.index(value)


def _time(name: str, value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"{name} is a time, not {value!r}")
    return value if value.tzinfo else value.replace(tzinfo=UTC)  # as pyarrow takes one without a zone


_PLAIN: Final[dict[pa.DataType, Callable[[str, Any], Any]]] = {
    pa.string(): _text,
    pa.int64(): _count,
    pa.bool_(): lambda name, value: bool(value),
    pa.float64(): lambda name, value: float(value),  # FLOPs may be integers beyond 64 bits
    _TIME: _time,
}
_FIELDS: Final = {field.name: _PLAIN[field.type] for field in ROW_SCHEMA}
