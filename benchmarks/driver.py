"""A driver of many cells: its memory, milliseconds a stage, and how long a resumed run takes to its first new row.

    python benchmarks/driver.py [--cells 2000 10000 50000]

Simulated cells of 0 s on a warm Ray with two workers, each size in a process of its own. Memory is the largest resident
set of the driver's process, and what it grew by from the moment at which Ray was up, a cell. Then one size is added to
the grid and the sweep is run again: from the call to the first new row, with all the others committed.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import ray
from rich.console import Console
from table import machine, print_table

from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store

SWEEP = """\
name: many
data: {{source: simulated, examples: 1M}}
model: {{family: simulated, noise: 0.01}}
grid:
  params: [{params}]
  data_fraction: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
  epochs: [1, 2, 3, 4, 5]
  seeds: {seeds}
resources: {{workers: 2}}
fit: {{laws: [product], bootstrap: 0}}
"""
SIZES, SEEDS = 10, {2_000: 4, 10_000: 20, 50_000: 100}


def text(cells: int, sizes: int = SIZES) -> str:
    """Return a sweep of so many cells; with more sizes, of a tenth more each."""
    params = ", ".join(str(1_000 * 2**k) for k in range(sizes))
    return SWEEP.format(params=params, seeds=SEEDS[cells])


def peak_bytes() -> int:
    """Return the largest resident set of this process so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def once(cells: int, store: str) -> dict[str, float]:
    """Run a sweep and then a larger one in this process; return what was measured."""
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    before, console = peak_bytes(), Console(file=io.StringIO())
    first = run_sweep(parse_sweep(text(cells)), store=store, console=console)
    peak = peak_bytes()
    old = open_store(store).done()
    moments = sorted(row["finished_at"] for row in open_store(store).results().to_pylist())
    begun = datetime.now(UTC)
    second = run_sweep(parse_sweep(text(cells, SIZES + 1)), store=store, console=console)
    rows = open_store(store).results().to_pylist()
    new = min(row["finished_at"] for row in rows if row["cell_id"] not in old)
    ray.shutdown()
    stages = len(make_plan(parse_sweep(text(cells))).tree)
    return {
        "rows": first.rows,
        "peak_bytes": peak,
        "grown_bytes": peak - before,
        "ms_a_stage": 1000 * (moments[-1] - moments[0]).total_seconds() / stages,
        "resumed_s": (new - begun).total_seconds(),
        "rows_in_the_end": second.rows,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", type=int, default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--once", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        print(json.dumps(once(asked.cells[0], asked.once)))
        return
    rows = []
    for cells in asked.cells:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--cells", str(cells), "--once", str(Path(folder, "store"))]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append(
            [
                f"{cells:,}",
                f"{found['rows']:,}",
                f"{found['peak_bytes'] / 1e6:.0f}",
                f"{found['grown_bytes'] / cells / 1e3:.1f}",
                f"{found['ms_a_stage']:.2f}",
                f"{found['resumed_s']:.1f}",
            ]
        )
    print(f"{machine()}\n")
    print_table(["cells", "rows", "driver's memory MB", "kB a cell", "ms a stage", "s to the first new row"], rows)


if __name__ == "__main__":
    main()
