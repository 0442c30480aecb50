"""Planning 10,000 cells: seconds beyond the command's own start-up.

    python benchmarks/planning.py

`scalaw plan` on 10,000 simulated cells and on 10,000 cells of the quickstart's data, against `scalaw --help`,
interleaved.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import machine, print_table

PARAMS = [1000 * k for k in range(1, 101)]
FRACTIONS = [k / 25 for k in range(1, 26)]
GRID = f"grid: {{params: {PARAMS}, data_fraction: {FRACTIONS}, epochs: [1, 2, 3, 4]}}\n"
SWEEPS = {
    "simulated": "name: a\ndata: {source: simulated, examples: 1M}\nmodel: {family: simulated}\n" + GRID,
    "transformer on python-stdlib": "name: b\ndata: {source: python-stdlib}\n" + GRID.replace("000", "0000"),
}
REPEATS = 5


def seconds(*arguments: str) -> tuple[float, str]:
    """Return the wall time of one command and what it printed."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "orchestrator.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - begun, done.stdout


def main() -> None:
    """Print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, text in SWEEPS.items():
            path = Path(folder) / "sweep.yaml"
            path.write_text(text)
            bare, whole, answer = [], [], ""
            for _ in range(REPEATS):
                bare.append(seconds("--help")[0])
                taken, answer = seconds("plan", str(path), "--json")
                whole.append(taken)
            document = json.loads(answer)
            start, total = statistics.median(bare), statistics.median(whole)
            counts = (f"{document['cells']:,}", f"{document['stages']:,}")
            rows.append([name, *counts, f"{start:.2f}", f"{total:.2f}", f"{total - start:.2f}", "1"])
    print(f"{machine()}; median of {REPEATS}, interleaved\n")
    print_table(["sweep", "cells", "stages", "start-up s", "plan s", "difference s", "target s"], rows)


if __name__ == "__main__":
    main()
