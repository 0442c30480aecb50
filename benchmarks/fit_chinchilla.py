"""How fast the Chinchilla law is fitted, against the procedure of the papers: `python benchmarks/fit_chinchilla.py`.

The reference is L-BFGS-B with finite differences from each of 4,500 starts (Besiroglu et al. 2024); a fraction of the
starts is run and the time extrapolated. One core; medians of five. Uses the published points where
`../shared/data/chinchilla_epoch` lies beside the checkout, else 240 simulated ones.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from scipy.optimize import minimize
from table import median_s

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from orchestrator.fitting import fit
from orchestrator.fitting.huber import huber_sum

POINTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "chinchilla_epoch" / "points.csv"
ALL_STARTS = 4500
REPEATS = 5


def load() -> tuple[str, pa.Table]:
    """Return where the points come from, and the points."""
    if POINTS.exists():
        table = pyarrow.csv.read_csv(POINTS)
        n, flops, loss = (np.asarray(table[c], dtype=float) for c in ("Model Size", "Training FLOP", "loss"))
        kept = np.argsort(loss)[:-5]
        return "published", pa.table({"n": n[kept], "d": (flops / (6 * n))[kept], "loss": loss[kept]})
    rng = np.random.default_rng(0)
    n, d = 10 ** rng.uniform(7.5, 10.2, 240), 10 ** rng.uniform(9, 11.5, 240)
    loss = (1.82 + 478 / n**0.347 + 2143 / d**0.367) * np.exp(rng.normal(0, 0.01, 240))
    return "simulated", pa.table({"n": n, "d": d, "loss": loss})


def reference(table: pa.Table, starts: int) -> tuple[float, float]:
    """Return seconds and best objective of some of the reference's starts, drawn with a fixed seed."""
    log_n, log_d, log_loss = (np.log(np.asarray(table[c])) for c in ("n", "d", "loss"))

    def objective(p: np.ndarray) -> float:
        a, b, e, alpha, beta = p
        fitted = np.logaddexp(np.logaddexp(a - alpha * log_n, b - beta * log_d), e)
        return huber_sum(fitted - log_loss)

    grid = np.array(
        list(product(range(0, 30, 5), range(0, 30, 5), np.arange(-1, 1.5, 0.5), *[np.arange(0, 2.5, 0.5)] * 2))
    )
    chosen = grid[np.random.default_rng(0).choice(len(grid), starts, replace=False)]
    begin = time.perf_counter()
    best = min(float(minimize(objective, start, method="L-BFGS-B").fun) for start in chosen)
    return time.perf_counter() - begin, best


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", type=int, default=150, help="starts of the reference that are run")
    parser.add_argument("--replicas", type=int, default=1000, help="bootstrap replicas")
    options = parser.parse_args()
    source, table = load()

    def point() -> object:
        return fit(table, laws=["chinchilla"], hold_out=None, bootstrap=0)

    def bootstrapped() -> object:
        return fit(table, laws=["chinchilla"], hold_out=None, bootstrap=options.replicas)

    best = fit(table, laws=["chinchilla"], hold_out=None, bootstrap=0).fits["chinchilla"]
    point_s, bootstrap_s = median_s(point, REPEATS), median_s(bootstrapped, REPEATS)
    seconds, objective = reference(table, options.starts)
    whole_s = seconds * ALL_STARTS / options.starts
    print(f"{table.num_rows} {source} points, one core, median of {REPEATS}\n")
    print("| procedure | time | sum of Huber losses |")
    print("|---|---|---|")
    print(f"| scalaw, point fit | {1e3 * point_s:.0f} ms | {best.objective:.13f} |")
    print(f"| reference, {options.starts} of {ALL_STARTS} starts | {seconds:.1f} s | {objective:.13f} |")
    print(f"| reference, all starts (extrapolated) | {whole_s:.0f} s | |")
    rate = options.replicas / (bootstrap_s - point_s)
    print(f"| scalaw, {options.replicas} bootstrap replicas | {bootstrap_s - point_s:.2f} s ({rate:.0f} a second) | |")
    print(f"\nPoint fit against the reference: {whole_s / point_s:.0f} times faster.")


if __name__ == "__main__":
    main()
