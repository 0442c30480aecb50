"""The quickstart's grid on a whole GPU, on four shares of it and on the CPUs; shared against each cell alone.

With deterministic algorithms the rows of a whole GPU, of shares and of cells trained alone must be equal to the bit; if
they aren't, the largest difference stands in the report.
"""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from findings import Findings, step

ROOT = Path(__file__).resolve().parents[2]
#: What of the quickstart's 60 cells is trained.
LESS = ("grid.params=[6.3k, 25k, 56k]", "grid.epochs=[1, 2]")
LEAST = ("grid.params=[6.3k]", "grid.epochs=[1]", "data.max_examples=512", "grid.data_fraction=[0.5, 1.0]")
#: What rows must have equal.
MEASURED = ("train_loss", "val_loss", "test_loss", "accuracy")


def trained(overrides: list[str], *, share: bool = True) -> tuple[float, dict[Any, dict[str, Any]]]:
    """Return the seconds from the first cell's start to the last row, and the rows by what was trained."""
    from rich.console import Console

    from orchestrator.execution.run import run_sweep
    from orchestrator.spec import load_sweep
    from orchestrator.store import open_store

    sweep = load_sweep(str(ROOT / "sweeps" / "quickstart.yaml"), overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        run_sweep(sweep, store=folder, share=share, dashboard=False, console=Console(file=io.StringIO()))
        rows = open_store(folder).results().to_pylist()
    failed = [row["error"] for row in rows if row["status"] == "failed"]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(rows)} cells failed: {failed[0].strip().splitlines()[-1]}")
    taken = max(row["finished_at"] for row in rows) - min(row["started_at"] for row in rows)
    return taken.total_seconds(), {(r["params_non_embedding"], r["data_examples"], r["epochs"]): r for r in rows}


def largest_difference(rows: dict[Any, dict[str, Any]], others: dict[Any, dict[str, Any]]) -> float:
    """Return the largest difference of any score; infinite where rows lack."""
    if rows.keys() != others.keys():
        return float("inf")
    return max(abs(rows[key][name] - others[key][name]) for key in rows for name in MEASURED)


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Run the four ways."""
    import ray

    from orchestrator.planning.machine import usable_cores

    cores = usable_cores()
    less = list(LEAST if findings.dry else LESS)
    whole, shares, cpus = "one GPU", "four shares of it", "the CPUs"
    if findings.dry:
        ways = {whole: ["resources.workers=1"], shares: ["resources.workers=2"], cpus: ["resources.workers=2"]}
    else:
        ways = {
            whole: ["resources.workers=1", "resources.gpus_per_worker=1"],
            shares: ["resources.workers=4", "resources.gpus_per_worker=0.25"],
            cpus: [f"resources.workers={max(1, cores - 1)}"],
        }
    same = ["train.deterministic=true", "inference.measure=false"]
    found: dict[str, dict[Any, dict[str, Any]]] = {}
    seconds: dict[str, float] = {}
    ray.init(
        "local",
        num_cpus=max(2, cores),
        num_gpus=0 if findings.dry else torch.cuda.device_count(),
        include_dashboard=False,
        log_to_driver=False,
    )
    try:
        for name, resources in ways.items():
            with findings.part(name):
                begun = time.perf_counter()
                seconds[name], found[name] = trained([*less, *same, *resources])
                findings.row(
                    "quickstart",
                    way=name,
                    cells=len(found[name]),
                    s=f"{seconds[name]:.1f}",
                    with_start_s=f"{time.perf_counter() - begun:.1f}",
                    precision=next(iter(found[name].values())).get("precision", ""),
                )
        with findings.part("alone"):
            name = "four shares, each cell alone"
            seconds[name], found[name] = trained([*less, *same, *ways[shares]], share=False)
            findings.row("quickstart", way=name, cells=len(found[name]), s=f"{seconds[name]:.1f}")
    finally:
        ray.shutdown()
    pairs = {
        "shares equal a whole GPU": (whole, shares),
        "shared equals alone": (shares, "four shares, each cell alone"),
    }
    for promise, (one, other) in pairs.items():
        if one in found and other in found:
            apart = largest_difference(found[one], found[other])
            findings.check(f"{promise}, to the bit", apart == 0, f"largest difference {apart:.1e}")
    if whole in found and cpus in found:
        findings.fact("largest difference to the CPUs' fp32", f"{largest_difference(found[whole], found[cpus]):.1e}")
    if whole in seconds and shares in seconds:
        findings.fact("four shares over one worker", f"{seconds[whole] / seconds[shares]:.2f} times as fast")
    if shares in seconds and cpus in seconds:
        findings.fact("CPUs' seconds over the shares'", f"{seconds[cpus] / seconds[shares]:.2f}")


if __name__ == "__main__":
    step(run, __doc__)
