"""How fast the Chinchilla law is fitted and bootstrapped, against the procedure of the papers.

    OMP_NUM_THREADS=1 python benchmarks/fit_chinchilla.py

The reference (Besiroglu et al. 2024) is L-BFGS-B with finite differences from each of 4,500 starts, and for each of
4,000 bootstrap replicas BFGS from the best point, its gradient by autograd (`pip install autograd`; the same with a
gradient written by hand stands beside it). A fraction of either is run and the time extrapolated; replicas draw the
same rows on both sides. One core; medians of five. Uses the published points where `../shared/data/chinchilla_epoch`
lies beside the checkout, else 240 simulated ones.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from scipy.optimize import minimize
from table import machine, median_s, print_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from orchestrator.fitting import fit
from orchestrator.fitting.sample import centred
from orchestrator.fitting.solver.huber import DELTA, huber
from orchestrator.spec.registries import LAWS

POINTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "chinchilla_epoch" / "points.csv"
ALL_STARTS = 4500
ALL_REPLICAS = 4000
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


class Reference:
    """The weighted Huber losses in the papers' coordinates (log A, log B, log E, α, β), and what minimises them."""

    def __init__(self, table: pa.Table) -> None:
        self.log_n, self.log_d, self.log_loss = (np.log(np.asarray(table[c])) for c in ("n", "d", "loss"))

    def objective(self, p: np.ndarray, weights: np.ndarray) -> float:
        """Return the objective."""
        a, b, e, alpha, beta = p
        fitted = np.logaddexp(np.logaddexp(a - alpha * self.log_n, b - beta * self.log_d), e)
        return float(weights @ huber(fitted - self.log_loss))

    def gradient(self, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return its gradient, written by hand."""
        a, b, e, alpha, beta = p
        terms = np.stack([a - alpha * self.log_n, b - beta * self.log_d, np.full_like(self.log_n, e)])
        fitted = np.logaddexp(np.logaddexp(terms[0], terms[1]), e)
        force = np.clip(fitted - self.log_loss, -DELTA, DELTA) * weights * np.exp(terms - fitted)
        sums = force.sum(axis=1)
        return np.array([*sums, -force[0] @ self.log_n, -force[1] @ self.log_d])

    def by_autograd(self) -> Callable[..., Any] | None:
        """Return the gradient by autograd, or None where it isn't installed."""
        try:
            autograd, anp = importlib.import_module("autograd"), importlib.import_module("autograd.numpy")
        except ImportError:
            return None

        def objective(p: np.ndarray, weights: np.ndarray) -> Any:
            a, b, e, alpha, beta = p
            fitted = anp.logaddexp(anp.logaddexp(a - alpha * self.log_n, b - beta * self.log_d), e)
            size = anp.abs(fitted - self.log_loss)
            losses = anp.where(size < DELTA, 0.5 * size**2, DELTA * (size - 0.5 * DELTA))
            return anp.sum(weights * losses)

        found: Callable[..., Any] = autograd.grad(objective)
        return found

    def starts(self, count: int) -> tuple[float, float]:
        """Return seconds and best objective of some of the starts, drawn with a fixed seed."""
        grid = np.array(
            list(product(range(0, 30, 5), range(0, 30, 5), np.arange(-1, 1.5, 0.5), *[np.arange(0, 2.5, 0.5)] * 2))
        )
        chosen = grid[np.random.default_rng(0).choice(len(grid), count, replace=False)]
        ones = np.ones_like(self.log_loss)
        begun = time.perf_counter()
        best = min(minimize(self.objective, start, args=(ones,), method="L-BFGS-B").fun for start in chosen)
        return time.perf_counter() - begun, float(best)

    def replicas(self, best: np.ndarray, weights: np.ndarray, gradient: Callable[..., Any]) -> tuple[float, np.ndarray]:
        """Return seconds and the objectives that BFGS reaches from the best point under weights (B, rows)."""
        begun = time.perf_counter()
        found = [minimize(self.objective, best, args=(w,), method="BFGS", jac=gradient).fun for w in weights]
        return time.perf_counter() - begun, np.array(found)


def print_replicas(table: pa.Table, count: int) -> None:
    """Print the table of the bootstrap's replicas."""
    law, reference = LAWS.load("chinchilla")(), Reference(table)
    axes = {axis: np.asarray(table[axis]) for axis in ("n", "d")}
    sample, units = centred(axes, np.asarray(table["loss"]))
    coords = law.solve(sample)
    chances = np.full(sample.rows, 1 / sample.rows)
    weights = np.random.default_rng(0).multinomial(sample.rows, chances, size=ALL_REPLICAS).astype(np.float64)
    solved = law.shift(law.resolve(sample, coords, weights), units.axes, units.loss)
    ours_s = median_s(lambda: law.resolve(sample, coords, weights), REPEATS)
    order = [[p.name for p in law.parameters(axes)].index(name) for name in ("A", "B", "E", "alpha", "beta")]
    at = np.maximum(solved[:count, order], -700.0)
    ours = np.array([reference.objective(p, w) for p, w in zip(at, weights, strict=False)])
    best = np.maximum(law.shift(coords[None], units.axes, units.loss)[0, order], -700.0)
    lines = [[f"scalaw, {ALL_REPLICAS} at once", f"{ours_s:.2f} s", "", "", ""]]
    for name, gradient in (("autograd", reference.by_autograd()), ("gradient by hand", reference.gradient)):
        if gradient is None:
            lines.append([f"BFGS, {name}", "not installed", "", "", ""])
            continue
        seconds, theirs = reference.replicas(best, weights[:count], gradient)
        whole_s, worse = seconds * ALL_REPLICAS / count, ours / theirs - 1
        lines.append(
            [
                f"BFGS, {name}, {count} of {ALL_REPLICAS}",
                f"{seconds:.1f} s; all {whole_s:.0f} s",
                f"{whole_s / ours_s:.0f}",
                f"{worse.max():.1e}",
                f"{(worse < -1e-3).sum()} of {count}",
            ]
        )
    print(f"\nBootstrap, {ALL_REPLICAS} replicas of the same rows on both sides\n")
    print_table(["procedure", "time", "times scalaw's", "scalaw's objective above it by at most", "below it"], lines)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=150, help="starts of the reference that are run")
    parser.add_argument("--replicas", type=int, default=200, help="replicas of the reference that are run")
    options = parser.parse_args()
    source, table = load()

    def point() -> Any:
        return fit(table, laws=["chinchilla"], hold_out=None, bootstrap=0)

    best = point().fits["chinchilla"]
    point_s = median_s(point, REPEATS)
    seconds, objective = Reference(table).starts(options.starts)
    whole_s = seconds * ALL_STARTS / options.starts
    print(f"{table.num_rows} {source} points, one core, median of {REPEATS}; {machine()}\n")
    lines = [
        ["scalaw", f"{1e3 * point_s:.0f} ms", f"{best.objective:.13f}", ""],
        [f"L-BFGS-B, {options.starts} of {ALL_STARTS} starts", f"{seconds:.1f} s", f"{objective:.13f}", ""],
        ["L-BFGS-B, all starts (extrapolated)", f"{whole_s:.0f} s", "", f"{whole_s / point_s:.0f}"],
    ]
    print_table(["point fit", "time", "sum of Huber losses", "times scalaw's"], lines)
    print_replicas(table, options.replicas)


if __name__ == "__main__":
    main()
