"""The quickstart sweep as Ray Tune trials against `run_sweep`: wall time, core-seconds, steps and losses.

    python benchmarks/vs_tune.py [--schedule wsm] [--epochs 1..8] [--repeats 3]

A Tune trial trains one cell with the same engine and stages, alone. ``plain``: a function and a process a trial, as
Tune does by default; ``reuse``: a class trainable with ``reuse_actors=True`` that keeps its engine warm. Each side is a
process of its own that starts Ray on all cores, trains and scores every cell on one thread a trial or worker, and ends
with the sweep's own fit; the sides take turns. Wall time is the whole process, core-seconds those of all its processes.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from core_seconds import run_counted
from rich.console import Console
from table import machine, print_table

from orchestrator.analysis.store_rows import axes_from_rows
from orchestrator.execution.run import run_sweep
from orchestrator.fitting import FitReport, fit
from orchestrator.planning import make_plan
from orchestrator.spec import load_sweep
from orchestrator.store import open_store
from orchestrator.store.cell_row import cell_columns
from orchestrator.store.schema import ROW_SCHEMA

QUICKSTART = Path(__file__).resolve().parents[1] / "sweeps" / "quickstart.yaml"
LOSSES = ("train_loss", "val_loss", "test_loss")
EXPONENTS = {"alpha": "α", "beta": "β", "gamma": "γ"}
#: Least ratio of wall times, Tune's over ours, by schedule and the grid's largest number of epochs.
TARGETS = {("wsd", 4): 2.8, ("wsm", 4): 3.2, ("wsd", 8): 5.0, ("wsm", 8): 5.0}


def tune_side(sweep: Any, folder: str, *, reuse: bool) -> dict[str, Any]:
    """Run every cell as a Tune trial, and fit them as `run_sweep` does."""
    from tune_trials import run_trials

    measured = run_trials(sweep, folder, reuse=reuse)
    steps = sum(losses.pop("steps") for losses in measured.values())
    plan = make_plan(sweep)
    rows = [{**cell_columns(cell, plan.context), **measured[cell.id], "status": "ok"} for cell in plan.cells]
    axes = axes_from_rows(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), target=sweep.fit.target)
    settings = {name: getattr(sweep.fit, name) for name in ("target", "laws", "hold_out", "bootstrap")}
    return answer(measured, steps, fit(axes, **settings))


def scalaw_side(sweep: Any, folder: str) -> dict[str, Any]:
    """Run the sweep as it is."""
    result = run_sweep(sweep, store=folder, dashboard=False, console=Console(file=io.StringIO()))
    if result.failed:
        raise RuntimeError(f"{result.failed} cells failed")
    rows = open_store(folder).results().to_pylist()
    measured = {row["cell_id"]: {name: row[name] for name in LOSSES} for row in rows}
    return answer(measured, sum(stage.steps for stage in make_plan(sweep).tree), result.report)


def answer(measured: dict[str, Any], steps: int, report: FitReport | None) -> dict[str, Any]:
    """Return what a side found, for the JSON file in which it hands it over."""
    law = report.fits.get("product") if report is not None else None
    values = {sign: law.params[name].value for name, sign in EXPONENTS.items() if name in law.params} if law else {}
    exponents = {sign: value for sign, value in values.items() if value is not None}
    return {"losses": measured, "steps": steps, "exponents": exponents}


def measured_turn(side: str, overrides: list[str]) -> dict[str, Any]:
    """Run one side in a process of its own; return its answer with ``wall_s`` and ``core_s``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        sets = [f"--set={override}" for override in overrides]
        wall_s, core_s = run_counted([sys.executable, __file__, f"--side={side}", f"--answer={path}", *sets])
        return {**json.loads(path.read_text()), "wall_s": wall_s, "core_s": core_s}


def largest_difference(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Return the largest difference between numbers that stand under equal keys, one level below."""
    return float(max(abs(a[key][name] - b[key][name]) for key in a | b for name in a[key] | b[key]))


def line(side: str, turns: dict[str, list[dict[str, Any]]], target: float | None) -> list[object]:
    """Return a side's line of the table; differences are from our first turn."""
    ours, theirs = turns["scalaw"], turns[side]
    wall_s, our_wall_s = ([turn["wall_s"] for turn in each] for each in (theirs, ours))
    core_s, our_core_s = (statistics.median(turn["core_s"] for turn in each) for each in (theirs, ours))
    exponents = [turn[0]["exponents"] for turn in (theirs, ours)]
    return [
        side if side == "scalaw" else f"Tune, {side}",
        f"{statistics.median(wall_s):.1f} ({min(wall_s):.1f}–{max(wall_s):.1f})",
        f"{core_s:.0f}",
        f"{theirs[0]['steps']:,}",
        f"{statistics.median(wall_s) / statistics.median(our_wall_s):.2f}",
        target if target and side != "scalaw" else "",
        f"{core_s / our_core_s:.2f}",
        shown(max(largest_difference(ours[0]["losses"], turn["losses"]) for turn in theirs)),
        ", ".join(f"{sign} {value:.4f}" for sign, value in exponents[0].items()),
        shown(largest_difference({"": exponents[0]}, {"": exponents[1]})) if exponents[0] else "",
    ]


def shown(difference: float) -> str:
    """Return a difference with one digit, or 0.0 where two sides agree to the bit."""
    return f"{difference:.1e}" if difference else "0.0"


def listed(text: str) -> str:
    """Return ``1..8`` or ``1,2,4`` as a YAML list."""
    first, dots, last = text.partition("..")
    return str(list(range(int(first), int(last) + 1))) if dots else f"[{text}]"


def main() -> None:
    """Measure all sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedule", choices=("wsd", "wsm"), default="wsd")
    parser.add_argument("--epochs", default="1,2,4", help="1,2,4 or 1..8")
    parser.add_argument("--params", help="N of the grid, such as 2k,3k; the quickstart's where left out")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.max_examples=1024 …")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--variants", default="plain,reuse", help="of Tune, separated by commas")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        sweep = load_sweep(QUICKSTART, overrides=options.set)
        with tempfile.TemporaryDirectory() as folder:
            ours = options.side == "scalaw"
            found = scalaw_side(sweep, folder) if ours else tune_side(sweep, folder, reuse=options.side == "reuse")
        options.answer.write_text(json.dumps(found))
        return
    overrides = [f"train.schedule={options.schedule}", f"grid.epochs={listed(options.epochs)}", *options.set]
    overrides += [f"grid.params={listed(options.params)}"] if options.params else []
    sides = ["scalaw", *options.variants.split(",")]
    turns: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(options.repeats):
        for side in sides:
            turns[side].append(measured_turn(side, overrides))
    grid = load_sweep(QUICKSTART, overrides=overrides).grid
    target = TARGETS.get((options.schedule, max(grid.epochs)))
    print(f"{machine()}; {grid.cells} cells, {', '.join(overrides)}; median of {options.repeats}, in turns\n")
    header = ["side", "wall s (min–max)", "core-seconds", "steps", "wall ÷ scalaw's", "target", "core-s ÷ scalaw's"]
    header += ["largest Δloss", "product law", "largest Δexponent"]
    print_table(header, [line(side, turns, target) for side in sides])


if __name__ == "__main__":
    main()
