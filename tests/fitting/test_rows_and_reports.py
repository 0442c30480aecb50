"""Store rows in, JSON and `fits` rows out; and what importing the package costs."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from orchestrator.analysis.store_rows import axes_from_rows
from orchestrator.errors import BadInput
from orchestrator.fitting import fit, fit_rows, report_json


def _row(**changes: Any) -> dict[str, Any]:
    return {
        "task": "text", "status": "ok", "params_non_embedding": 1000, "data_examples": 50, "data_tokens": 3200,
        "epochs": 2, "finetune_examples": None, "finetune_epochs": None, "compression_method": None,
        "epsilon": None, "val_loss": 2.0, "accuracy": None, **changes,
    }  # fmt: skip


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "status", "compression_method")),
        *((name, pa.int64()) for name in ("params_non_embedding", "data_examples", "data_tokens", "epochs")),
        *((name, pa.int64()) for name in ("finetune_examples", "finetune_epochs")),
        *((name, pa.float64()) for name in ("epsilon", "val_loss", "accuracy")),
    ]
)


def _rows(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def test_rows_become_axes_and_loss():
    table = _rows(_row(), _row(status="failed", val_loss=None), _row(compression_method="prune"), _row(epochs=4))
    assert axes_from_rows(table).to_pydict() == {
        "n": [1000, 1000], "d": [3200, 3200], "e": [2, 4], "loss": [2.0, 2.0],
    }  # fmt: skip


def test_data_are_examples_where_there_are_no_tokens():
    table = axes_from_rows(_rows(_row(data_tokens=None, accuracy=0.5)), target="accuracy")
    assert table.to_pydict() == {"n": [1000], "d": [50], "e": [2], "accuracy": [0.5]}


def test_the_fine_tuning_task_is_the_default_and_brings_its_axes():
    tuned = _row(
        task="code", finetune_examples=10, finetune_epochs=3, compression_method="prune", epsilon=0.5, val_loss=1.5
    )
    table = _rows(_row(), tuned)
    assert axes_from_rows(table).to_pydict() == {
        "n": [1000], "d": [3200], "e": [2], "ft_d": [10], "ft_e": [3], "eps": [0.5],
        "variant": ["prune"], "loss": [1.5],
    }  # fmt: skip
    assert axes_from_rows(table, task="text")["loss"].to_pylist() == [2.0]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([_row(status="failed")], {}, "none of the store's 1 rows is ok"),
        ([_row()], {"task": "code"}, "no finished row has the task 'code'; tasks there: text"),
        ([_row()], {"target": "speed"}, "no column 'speed'"),
        ([_row()], {"target": "accuracy"}, "no row of task 'text' has a value of accuracy"),
        ([_row(), _row(task="code")], {}, r"several tasks: choose one with `task` \(code, text\)"),
    ],
)
def test_rows_that_cannot_be_fitted_are_refused(rows, options, message):
    with pytest.raises(BadInput, match=message):
        axes_from_rows(_rows(*rows), **options)


def test_a_missing_loss_is_named_and_never_dropped():
    table = axes_from_rows(_rows(_row(), _row(val_loss=None)))
    with pytest.raises(BadInput, match="row 2 of the rows of task text: loss is empty"):
        fit(table)


def test_the_json_document_has_the_keys_of_the_contract_and_no_nan(grid):
    axes = grid(n=[1e5, 1e6, 1e7, 1e8], d=[1e6])
    table = pa.table({"n": axes["n"], "d": axes["n"] * 20, "loss": 1 + 30 * axes["n"] ** -0.2})
    report = fit(table, bootstrap=20)
    document = json.loads(json.dumps(report_json(report), allow_nan=False))
    assert set(document) == {"fits", "best", "best_law", "ranking", "near"}
    assert document["best"] == report.best.law
    assert document["best"] == "average"
    assert set(document["fits"]["average"].pop("answer")) >= {"kind", "params_of"}
    for entry in document["fits"].values():
        assert set(entry) == {
            "cautions",
            "params",
            "objective",
            "r2_log",
            "held_out_rmse_log",
            "rolling_rmse_log",
            "n_rows",
            "identifiability",
            "warnings",
        }
    assert document["fits"]["product"]["params"]["alpha"] == {"value": None, "lo": None, "hi": None}


def test_nothing_fitted_is_null_and_no_rows():
    report = fit(pa.table({"n": [1.0], "d": [1.0], "loss": [2.0]}))
    assert report_json(report) == {"fits": {}, "best": None, "best_law": None, "ranking": [], "near": []}
    assert fit_rows(report, sweep=None, task=None, fitted_at=datetime.now(UTC)).num_rows == 0


def test_fit_rows_hold_one_parameter_each(chinchilla_table):
    report = fit(chinchilla_table(), laws=["product", "chinchilla"], bootstrap=20)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    rows = fit_rows(report, sweep="s", task="t", fitted_at=now).to_pylist()
    assert [r["parameter"] for r in rows] == ["C", "alpha", "beta", "E", "A", "B", "alpha", "beta"]
    assert [r["best"] for r in rows] == [False] * 3 + [True] * 5
    alpha = report.fits["chinchilla"].params["alpha"]
    assert rows[6] == {
        "sweep": "s", "task": "t", "law": "chinchilla", "parameter": "alpha", "value": alpha.value, "lo": alpha.lo,
        "hi": alpha.hi, "held_out_rmse_log": report.best.held_out_rmse_log, "n_rows": 36, "best": True,
        "fitted_at": now,
    }  # fmt: skip


def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, orchestrator.fitting as f; "
        "assert not {'numpy', 'scipy', 'pyarrow', 'torch', 'ray'} & set(sys.modules); "
        "f.fit; assert not {'scipy', 'torch', 'ray', 'pydantic'} & set(sys.modules); "
        "assert callable(f.fit) and all(hasattr(f, n) for n in f.__all__)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
