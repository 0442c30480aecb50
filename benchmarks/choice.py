"""The law that is chosen by itself, on published measurements, and what it predicts of the dearer runs.

    python benchmarks/choice.py [FOLDER]     (default: ../shared/data)

ScaleBench's two tables (Li et al. 2026): runs that repeat their data (Muennighoff et al. 2023), of which the dear ones
are the test, and the tuned envelope of learning rates and batches, of which one dearer point is the test.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from table import machine, print_table

from orchestrator.fitting import FitReport, fit
from orchestrator.fitting.axes import FloatArray

BOOTSTRAP = 200


def main() -> None:
    """Print a table for each set of runs."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data", "scalebench")
    print(f"{machine()}\n")
    train, test = (
        pq.read_table(folder / f"data_constrained_{part}.parquet")
        .select(["unique_tokens", "params", "tokens", "loss"])
        .rename_columns(["unique_d", "n", "d", "loss"])
        for part in ("train", "test")
    )
    _print("repeated data", train, test)
    train, test = (_envelope(pq.read_table(folder / f"lr_bsz_{part}.parquet")) for part in ("train", "test"))
    _print("tuned envelope", train, test)


def _envelope(runs: pa.Table) -> pa.Table:
    """Return the lowest loss of each (N, D)."""
    best = runs.group_by(["non_embedding_param_size", "data_size"]).aggregate([("lm_loss", "min")])
    names = ("non_embedding_param_size", "data_size", "lm_loss_min")
    return pa.table({to: best[name].cast(pa.float64()) for to, name in zip(("n", "d", "loss"), names, strict=True)})


def _print(title: str, train: pa.Table, test: pa.Table) -> None:
    begun = time.perf_counter()
    report: FitReport = fit(train, bootstrap=BOOTSTRAP)
    seconds = time.perf_counter() - begun
    print(f"{title}: {train.num_rows} rows, {test.num_rows} to predict; {len(report.fits)} laws in {seconds:.1f} s\n")
    loss = np.asarray(test["loss"])
    rows = []
    for name in report.ranking:
        found = report.fits[name]
        predicted, (lo, hi) = found.predict(test), found.predict_interval(test)
        rows.append(
            [
                name,
                found.solution.size,
                "–" if found.rolling_rmse_log is None else f"{found.rolling_rmse_log:.4f}",
                f"{np.sqrt(np.mean(np.log(predicted / loss) ** 2)):.4f}",
                _told(predicted, loss),
                f"{np.mean((lo <= loss) & (loss <= hi)):.2f}",
            ]
        )
    heads = [
        "law, best first",
        "parameters",
        "RMSE(log) ahead",
        "RMSE(log) of the test",
        "R² of the test",
        "in interval",
    ]
    print_table(heads, rows)
    print()


def _told(predicted: FloatArray, loss: FloatArray) -> str:
    """Return R², or the prediction where there is one row."""
    if loss.size == 1:
        return f"{predicted[0]:.4f} for {loss[0]:.4f}"
    return f"{1 - ((predicted - loss) ** 2).sum() / ((loss - loss.mean()) ** 2).sum():.3f}"


if __name__ == "__main__":
    main()
