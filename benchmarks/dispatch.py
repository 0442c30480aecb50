"""Warm dispatch: milliseconds a stage when stages do nothing, commits with fsync included.

    python benchmarks/dispatch.py

A simulated sweep of 0 s stages runs on a warm Ray with two workers; the time between the first and the last commit is
divided by the stages. The workers' start is left out, as it is paid once a sweep.
"""

from __future__ import annotations

import io
import statistics
import tempfile
from datetime import datetime

import ray
from rich.console import Console
from table import machine, print_table

from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import open_store

SWEEP = """\
name: dispatch
data: {source: simulated, examples: 1M}
model: {family: simulated, noise: 0.01}
grid: {params: [1k, 2k, 4k, 8k, 16k], data_fraction: [0.1, 0.2, 0.4, 0.8, 1.0], epochs: [1, 2, 4, 8]}
resources: {workers: 2}
fit: {laws: [product], bootstrap: 0}
"""
REPEATS = 5


def once() -> tuple[float, int]:
    """Return milliseconds a stage and the rows that came."""
    sweep = parse_sweep(SWEEP)
    with tempfile.TemporaryDirectory() as folder:
        result = run_sweep(sweep, store=folder, console=Console(file=io.StringIO()))
        rows = open_store(folder).results().to_pylist()
    moments: list[datetime] = sorted(row["finished_at"] for row in rows)
    return 1000 * (moments[-1] - moments[0]).total_seconds() / len(make_plan(sweep).tree), result.rows


def main() -> None:
    """Print the table."""
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    runs = [once() for _ in range(REPEATS)]
    ray.shutdown()
    stages = len(make_plan(parse_sweep(SWEEP)).tree)
    print(f"{machine()}; {stages} stages, {runs[0][1]} of them committing a row; median of {REPEATS}\n")
    times = [time for time, _ in runs]
    print_table(
        ["what", "median", "min", "max", "target", "rows"],
        [["ms a stage, commit included", *(f"{f(times):.2f}" for f in (statistics.median, min, max)), "2", runs[0][1]]],
    )


if __name__ == "__main__":
    main()
