"""How the time of a fit grows with rows and laws.

    python benchmarks/fit_growth.py

Rows of a Chinchilla law with 1 % noise over as many distinct sizes; intervals by 1,000 replicas. Seconds of one fit
each, held-out rows and errors ahead included.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pyarrow as pa
from table import machine, print_table

from orchestrator.fitting import fit

LAWS = (("product",), ("chinchilla",), ("product", "chinchilla", "kaplan"), None)


def table(rows: int) -> pa.Table:
    """Return rows of L = 1.7 + 400/N^.34 + 900/D^.36 with noise."""
    random = np.random.default_rng(0)
    n, d = (
        np.exp(random.uniform(np.log(1e6), np.log(1e10), rows)),
        np.exp(random.uniform(np.log(1e8), np.log(1e12), rows)),
    )
    return pa.table(
        {"n": n, "d": d, "loss": (1.7 + 400 / n**0.34 + 900 / d**0.36) * np.exp(random.normal(0, 0.01, rows))}
    )


def main() -> None:
    """Print one line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=6, help="largest power of ten of rows")
    lines = []
    for power in range(2, parser.parse_args().most + 1):
        points = table(10**power)
        line = [f"{10**power:,}"]
        for laws in LAWS:
            begun = time.perf_counter()
            report = fit(points, laws=laws)
            line.append(f"{time.perf_counter() - begun:.1f} ({report.best.law})" if report.best else "none")
        lines.append(line)
        print(" ".join(line), flush=True)
    print(f"\n{machine()}\n")
    print_table(["rows", *("all laws" if laws is None else ", ".join(laws) for laws in LAWS)], lines)


if __name__ == "__main__":
    main()
