"""The far answer on rows that a law made exactly: bias, error over the right law's, and coverage, far out.

    OMP_NUM_THREADS=1 python benchmarks/far_exact.py [--tables K] [--law NAME]

Rows are grids of N and D, or budgets with sizes around their optimum, of random extent; parameters of the laws are
drawn about published ones. Far are 12 points at 10 to 100 times the largest compute, near the best split. The right law
is fitted to the same rows by `fit` (Chinchilla, Kaplan, Kaplan above a floor).
"""

from __future__ import annotations

import argparse

import numpy as np
import pyarrow as pa
from table import machine, print_table

from orchestrator.fitting import fit
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.far.answer import fit_far

Columns = dict[str, FloatArray]
NOISES = (0.0, 0.001, 0.003, 0.01)
LAWS = ("chinchilla", "kaplan", "kaplan_floor")


def made_by(law: str, random: np.random.Generator, columns: Columns) -> FloatArray:
    """Return ln L by a law with parameters drawn about published ones; the draws don't depend on the columns."""
    n, d = columns["n"], columns["d"]
    spread = np.exp(random.normal(0, 0.15, 6))
    if law == "chinchilla":
        return np.log(
            1.7 * spread[0] + 480 * spread[1] / n ** (0.35 * spread[2]) + 2100 * spread[3] / d ** (0.37 * spread[4])
        )
    if law == "kaplan":
        alpha, beta = 0.076 * spread[0], 0.095 * spread[1]
        return beta * np.log((8.8e13 / n) ** (alpha / beta) + 5.4e13 / d)
    alpha, beta, gamma = 0.3 * spread[0], 0.28 * spread[1], 0.45 * spread[2]
    power = ((2e9 * spread[3] / n) ** (alpha / gamma) + (2e10 * spread[4] / d) ** (beta / gamma)) ** gamma
    return np.log(0.9 * spread[5] + power)


def design(random: np.random.Generator) -> tuple[Columns, Columns]:
    """Return rows (a grid or IsoFLOP budgets) and far points."""
    low, decades = 10 ** random.uniform(6.5, 8), random.uniform(1, 2.2)
    if random.random() < 0.5:
        sizes = np.geomspace(low, low * 10**decades, random.integers(4, 8))
        data = np.geomspace(20 * low, 20 * low * 10**decades, random.integers(4, 8))
        n, d = np.repeat(sizes, data.size), np.tile(data, sizes.size)
    else:
        budgets = 120 * low**2 * 10 ** (np.linspace(0, 2 * decades, random.integers(4, 7)))
        around = np.exp(np.linspace(-1.5, 1.5, random.integers(5, 8)))
        n = (np.sqrt(budgets / 120)[:, None] * around).ravel()
        d = np.repeat(budgets, around.size) / (6 * n)
    most = (n * d).max() * np.geomspace(10, 100, 4)
    ratio = np.array([8.0, 20.0, 50.0])
    far_n = np.sqrt(most[:, None] / ratio).ravel()
    return {"n": n, "d": d}, {"n": far_n, "d": np.repeat(most, ratio.size) / far_n}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--law", choices=LAWS, action="append")
    options = parser.parse_args()
    lines = []
    for law in options.law or LAWS:
        for noise in NOISES:
            bias, ours, theirs, held, width = [], [], [], [], []
            for k in range(options.tables):
                rows, far = design(np.random.default_rng([1, k]))
                truth = made_by(law, np.random.default_rng([2, k]), far)
                random = np.random.default_rng([3, k])
                loss = np.exp(
                    made_by(law, np.random.default_rng([2, k]), rows) + noise * random.standard_normal(rows["n"].size)
                )
                answer = fit_far(rows, loss)
                error, half = answer.predict(far) - truth, answer.half_width(far)
                new = noise * random.standard_normal(truth.size)
                report = fit(pa.table({**rows, "loss": loss}), laws=[law], hold_out=None, bootstrap=0)
                right = np.log(report.fits[law].predict(pa.table(far))) - truth
                bias.append(error.mean())
                ours.append(np.mean(error**2))
                theirs.append(np.mean(right**2))
                held.append(np.mean(np.abs(error - new) <= half))
                width.append(half.mean())
            ratio = np.sqrt(np.mean(ours) / np.mean(theirs)) if noise else float("nan")
            worst = max(bias, key=abs)
            lines.append(
                [
                    law,
                    f"{noise:.1%}",
                    f"{np.mean(bias):.2%}",
                    f"{worst:.2%}",
                    f"{np.sqrt(np.mean(ours)):.4f}",
                    f"{ratio:.2f}",
                    f"{np.median(np.sqrt(np.array(ours) / np.maximum(theirs, 1e-16))):.2f}",
                    f"{np.mean(held):.2f}",
                    f"{np.mean(width):.4f}",
                ]
            )
    print(f"{options.tables} tables a line; {machine()}\n")
    heads = [
        "rows made by",
        "noise",
        "mean bias far",
        "largest",
        "RMSE",
        "÷ the right law's",
        "median of that",
        "90 % holds",
        "half-width",
    ]
    print_table(heads, lines)


if __name__ == "__main__":
    main()
