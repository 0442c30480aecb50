"""What sharing saves: steps and seconds of the stage tree against every cell trained alone, and that losses agree.

    python benchmarks/sharing.py [--examples 8192] [--repeats 5]
    python benchmarks/sharing.py --exponents

The first table runs the stages of both ways in turn, on one thread and without Ray: one model of width 16, an eighth to
all of the examples (8,192 are 512 KiB in windows of 64 bytes), batches of 16. Fewer examples leave the ratio of steps
as it is, while what a stage costs beside its steps weighs more. Scoring the cells costs the same either way and is
listed by itself. ``--exponents`` compares the schedules instead: the quickstart's grid under ``wsd`` and ``wsm``.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from table import machine, print_table
from threadpoolctl import threadpool_limits
from vs_tune import EXPONENTS, LOSSES, QUICKSTART, largest_difference, shown

from orchestrator.execution.run import RunResult, run_sweep
from orchestrator.planning import StageTree, make_plan
from orchestrator.spec import load_sweep, parse_sweep
from orchestrator.store import open_store
from workers.engine import TorchEngine

SWEEP = """\
name: sharing
data: {{source: python-stdlib, max_examples: {examples}, eval_examples: {eval_examples}}}
model: {{family: transformer}}
grid: {{params: {params}, data_fraction: [0.125, 0.25, 0.5, 1.0], epochs: {epochs}}}
train: {{batch_size: 16, warmup_steps: 30, schedule: {schedule}}}
"""
EPOCHS = {"1, 2, 4": [1, 2, 4], "1 … 8": [*range(1, 9)], "1 … 16": [*range(1, 17)]}
#: Least ratio of steps, by schedule and epochs.
TARGETS = {
    "wsd": {"1, 2, 4": 1.65, "1 … 8": 2.6, "1 … 16": 3.3},
    "wsm": {"1, 2, 4": 1.95, "1 … 8": 4.7, "1 … 16": 8.5},
}
SCHEDULES = tuple(TARGETS)


@dataclass
class Turn:
    """Seconds of one pass over a stage tree, and the losses that came out by cell id."""

    train_s: float = 0.0
    score_s: float = 0.0
    losses: dict[str, dict[str, float]] = field(default_factory=dict)


def walk(engine: TorchEngine, tree: StageTree) -> Turn:
    """Run every stage of a tree, each from its parent's state."""
    turn = Turn()
    waiting: list[tuple[Any, Any]] = [(root, None) for root in reversed(tree.children[None])]
    while waiting:
        stage, parent = waiting.pop()
        begun = time.perf_counter()
        if stage.kind == "evaluate":
            row = engine.measure(stage, parent)
            turn.losses[stage.cell.id] = {name: row[name] for name in LOSSES}
            turn.score_s += time.perf_counter() - begun
        else:
            state = engine.train(stage, parent)
            turn.train_s += time.perf_counter() - begun
            waiting += [(child, state) for child in reversed(tree.children.get(stage.id, ()))]
    return turn


def sharing_line(schedule: str, name: str, options: argparse.Namespace) -> list[object]:
    """Measure one grid under one schedule."""
    sizes = {key: getattr(options, key) for key in ("params", "examples", "eval_examples")}
    sweep = parse_sweep(SWEEP.format(**sizes, epochs=EPOCHS[name], schedule=schedule))
    alone, shared = make_plan(sweep, share=False), make_plan(sweep)
    engine = TorchEngine(shared.context)
    engine.train(shared.tree.children[None][0], None)  # torch's first steps are slow
    turns = [(walk(engine, alone.tree), walk(engine, shared.tree)) for _ in range(options.repeats)]
    steps = [sum(stage.steps for stage in plan.tree) for plan in (alone, shared)]
    train_s, score_s = (
        [statistics.median(getattr(turn[way], key) for turn in turns) for way in (0, 1)]
        for key in ("train_s", "score_s")
    )
    ratio, train_ratio = steps[0] / steps[1], train_s[0] / train_s[1]
    apart = max(largest_difference(turns[0][0].losses, turn.losses) for pair in turns for turn in pair)
    return [
        *(schedule, name, len(alone.cells)),
        *(f"{count:,}" for count in steps),
        *(f"{ratio:.2f}", TARGETS[schedule][name]),
        *(f"{seconds:.1f}" for seconds in train_s),
        *(f"{train_ratio:.2f}", f"{100 * (train_ratio / ratio - 1):+.0f} %"),
        *(f"{seconds:.1f}" for seconds in score_s),
        f"{(train_s[0] + score_s[0]) / (train_s[1] + score_s[1]):.2f}",
        shown(apart),
    ]


def print_sharing(options: argparse.Namespace) -> None:
    """Print what sharing saves under each schedule and number of epochs."""
    chosen = [name for name in EPOCHS if max(EPOCHS[name]) <= options.most_epochs]
    with threadpool_limits(limits=1):
        lines = [sharing_line(schedule, name, options) for schedule in SCHEDULES for name in chosen]
    print(f"{machine()}; one thread, {options.examples:,} examples; median of {options.repeats}, in turns\n")
    header = ["schedule", "E", "cells", "steps alone", "steps shared", "ratio", "target"]
    header += [
        "training s alone",
        "shared",
        "ratio",
        "off the steps'",
        "scoring s alone",
        "shared",
        "ratio with scoring",
    ]
    print_table([*header, "largest Δloss"], lines)


def run_quickstart(
    schedule: str, seeds: int, overrides: Sequence[str]
) -> tuple[RunResult, dict[tuple[int, ...], float]]:
    """Run the quickstart under a schedule; return its result and validation losses by N, D, E and seed."""
    settings = [f"train.schedule={schedule}", f"grid.seeds={seeds}", *overrides]
    with tempfile.TemporaryDirectory() as folder:
        sweep = load_sweep(QUICKSTART, overrides=settings)
        result = run_sweep(sweep, store=folder, dashboard=False, console=Console(file=io.StringIO()))
        rows = open_store(folder).results().to_pylist()
    if result.failed or result.missing:
        raise RuntimeError(f"{result.failed} cells failed and {result.missing} are missing")
    coordinates = ("params_non_embedding", "data_examples", "epochs", "seed")
    return result, {tuple(row[key] for key in coordinates): row["val_loss"] for row in rows}


def print_exponents(options: argparse.Namespace) -> None:
    """Print losses and the product law's exponents under each schedule."""
    runs = {schedule: run_quickstart(schedule, options.seeds, options.set) for schedule in SCHEDULES}
    lines = []
    for schedule, (result, losses) in runs.items():
        law = result.report.fits.get("product") if result.report is not None else None
        found = [law.params.get(name) if law else None for name in EXPONENTS]
        texts = [
            f"{one.value:.4f} [{one.lo:.4f}, {one.hi:.4f}]" if one and one.value is not None else "" for one in found
        ]
        quality = [f"{law.r2_log:.3f}", f"{law.held_out_rmse_log:.4f}"] if law and law.held_out_rmse_log else ["", ""]
        lines.append([schedule, len(losses), f"{statistics.mean(losses.values()):.4f}", *texts, *quality])
    wsd, wsm = (losses for _, losses in runs.values())
    apart = [wsm[cell] - wsd[cell] for cell in wsd]
    print(f"{machine()}; {options.seeds} seeds{''.join(f', {override}' for override in options.set)}\n")
    header = ["schedule", "cells", "mean val_loss", *EXPONENTS.values(), "R²(log)", "held-out RMSE(log)"]
    print_table(header, lines)
    sizes = [abs(one) for one in apart]
    print(
        f"\nLoss under wsm less that under wsd, over {len(apart)} cells: mean {statistics.mean(apart):+.4f}, "
        f"mean size {statistics.mean(sizes):.4f}, largest size {max(sizes):.4f} nats."
    )


def main() -> None:
    """Print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1024, help="examples of the largest cells")
    parser.add_argument("--eval-examples", type=int, default=1024, help="examples scored a held-back split")
    parser.add_argument("--params", default="6.3k", help="N of the one model")
    parser.add_argument("--most-epochs", type=int, default=16, help="leave out the grids that go beyond")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--exponents", action="store_true", help="compare the schedules on the quickstart's grid")
    parser.add_argument("--seeds", type=int, default=3, help="with --exponents")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="with --exponents")
    options = parser.parse_args()
    (print_exponents if options.exponents else print_sharing)(options)


if __name__ == "__main__":
    main()
