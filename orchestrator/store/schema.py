"""Columns of the two tables a store holds, and the version that every part carries in its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

#: Raised when a column is added or changes its meaning; older parts stay readable, missing columns become null. From 4
#: on every part is sealed.
SCHEMA_VERSION = 4
VERSION_KEY = b"scalaw.schema_version"

_TIME = pa.timestamp("us", tz="UTC")
_TEXT = (
    "cell_id task data_digest recipe optimizer schedule compression compression_method device_kind cpu_capability "
    "worker status error backend warnings"
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
backend warnings
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


def row_table(row: Mapping[str, Any]) -> pa.Table:
    """Return a one-row table in ``ROW_SCHEMA``; columns that the row leaves out are null.

    Raises
    ------
    KeyError
        If the row has a column that the schema does not know: a bug of the caller.
    ValueError
        If a count has a fraction: likewise.
    """
    unknown = sorted(row.keys() - set(ROW_SCHEMA.names))
    if unknown:
        raise KeyError(f"columns not in the row schema: {', '.join(unknown)}")
    values = {name: _value(name, value) for name, value in row.items()}
    batch = pa.RecordBatch.from_struct_array(pa.array([values], _STRUCT))
    return pa.Table.from_batches([batch]).replace_schema_metadata(_METADATA)


def _value(name: str, value: Any) -> Any:
    """Return one entry of a row as pyarrow takes it.

    It would cut a fraction off a count, refuse FLOPs beyond 64 bits, and a text that is no Unicode: an error's message
    may be any bytes.
    """
    kind = _TYPES.get(name)
    if value is not None and kind is None:
        return float(value)
    if isinstance(value, float) and kind == pa.int64() and not value.is_integer():
        raise ValueError(f"{name} is a count, not {value}")
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="replace").decode()
    return value
