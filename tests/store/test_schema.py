"""The columns are a contract: whoever changes them raises SCHEMA_VERSION and this file together."""

from __future__ import annotations

import pytest

from orchestrator.store.schema import CURVES_SCHEMA, FITS_SCHEMA, ROW_SCHEMA, SCHEMA_VERSION, row_table

ROWS = """
cell_id string, task string, seed int64, recipe_version int64, data_digest string, simulated bool, recipe string,
optimizer string, schedule string, learning_rate double, batch_size int64, params_total int64,
params_non_embedding int64, data_examples int64, data_tokens int64, data_fraction double, epochs int64,
finetune_examples int64, finetune_epochs int64, compression string, compression_method string, compression_level double,
bits_per_param double, density double, rank_ratio double, epsilon double, fidelity double, train_loss double,
val_loss double, test_loss double, bits_per_byte double, accuracy double, precision_macro double, recall_macro double,
f1_macro double, model_bytes int64, latency_p50_s double, latency_p95_s double, throughput_per_s double,
latency_p50_s_b32 double, latency_p95_s_b32 double, throughput_per_s_b32 double, peak_memory_bytes int64,
backend string, warnings string, metrics string, sharing string, stage_id string, flops double,
flops_evaluation double, wall_s double, device_s double, device_kind string, world_size int64, threads int64,
cpu_capability string, steps int64, attempt int64, worker string, started_at timestamp[us, tz=UTC],
finished_at timestamp[us, tz=UTC], status string, error string
"""
FITS = """
sweep string, task string, law string, parameter string, value double, lo double, hi double, held_out_rmse_log double,
n_rows int64, best bool, fitted_at timestamp[us, tz=UTC]
"""
CURVES = """
stage_id string, parent_id string, phase string, step int64, examples int64, tokens int64, flops double,
train_loss double, val_loss double, learning_rate double, gradient_norm double, seconds double
"""


@pytest.mark.parametrize(
    ("schema", "frozen"),
    [(ROW_SCHEMA, ROWS), (FITS_SCHEMA, FITS), (CURVES_SCHEMA, CURVES)],
    ids=["rows", "fits", "curves"],
)
def test_columns_and_types_are_frozen(schema, frozen):
    assert SCHEMA_VERSION == 6
    assert ", ".join(f"{field.name} {field.type}" for field in schema) == " ".join(frozen.split())


def test_columns_left_out_are_null_and_unknown_ones_a_bug(row):
    table = row_table(row(1))
    assert table["accuracy"].to_pylist() == [None]
    with pytest.raises(KeyError, match="valloss"):
        row_table({**row(1), "valloss": 1.0})


def test_flops_beyond_64_bits_are_kept_and_a_fractional_count_is_refused():
    table = row_table({"cell_id": "a", "flops": 10**25})
    assert table["flops"].to_pylist() == [1e25]
    with pytest.raises(ValueError, match="steps"):
        row_table({"cell_id": "a", "steps": 1.5})
