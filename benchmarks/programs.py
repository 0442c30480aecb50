"""Trainers of one's own as processes: shared against alone, cold against preloaded, and what scalaw adds to a step.

    python benchmarks/programs.py [--repeats 3]

The first table leads four cells (two D, two E) of `examples/nanogpt` on one worker of the in-process pool, each side
with processes of their own and with children of a warm interpreter; losses are compared to the bit. The second has the
seconds from starting a process to its first line of metrics. The third times what the helper does in a step (rate,
seed, example indices, a line of metrics) beside a step of the model, and what that makes of a path of 60 s together
with one warm start. The machine should be idle.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from table import machine, print_table

from orchestrator.execution.driver import Driver
from orchestrator.execution.failure_policy import FailurePolicy
from orchestrator.execution.pool.local_pool import LocalPool
from orchestrator.execution.pool.protocol import WorkerNeeds
from orchestrator.execution.progress.live_fit import LiveFit
from orchestrator.execution.progress.progress import Progress
from orchestrator.execution.progress.run_log import Journal
from orchestrator.execution.signals import StopSignal
from orchestrator.execution.stage_scheduler import StageScheduler
from orchestrator.execution.state_memory import StateMemory
from orchestrator.execution.store_writer import StoreWriter
from orchestrator.planning import Plan, make_plan
from orchestrator.programs.program import Program, read_program
from orchestrator.spec import load_sweep
from orchestrator.store import Store, open_store
from scalaw.program import Task

EXAMPLE = Path(__file__).parents[1] / "examples" / "nanogpt"
FEW = ["grid.params=[25k]", "grid.data_fraction=[0.5, 1.0]", "data.max_examples=2048", "data.eval_examples=256"]
#: Seconds of the path that the share is told of.
PATH_S = 60.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "nanogpt")
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data"))
        subprocess.run([sys.executable, "prepare.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        warm = read_program(folder)
        cold = replace(warm, manifest=warm.manifest.model_copy(update={"preload": ()}))
        rows, losses = [], []
        for program, start in ((cold, "cold"), (warm, "preloaded")):
            for share in (True, False):
                plan = make_plan(load_sweep(folder / "sweep.yaml", overrides=FEW), share=share, program=program)
                seconds, found, started = led(plan, Path(scratch, f"{start}-{share}"))
                steps = sum(stage.steps for stage in plan.tree)
                rows.append(["shared" if share else "alone", start, len(found), steps, started, f"{seconds:.1f}"])
                losses.append(found)
        same = max(abs(a[cell] - losses[0][cell]) for a in losses for cell in a)
        print_table(["cells", "start", "rows", "steps", "chains", "seconds"], rows)
        print(f"\nlargest difference between any two losses of a cell: {same}\n")
        first = [first_lines(program, folder, scratch, repeats) for program in (cold, warm)]
        print_table(
            ["start", "to the first step (s, median)"], [["cold", f"{first[0]:.2f}"], ["preloaded", f"{first[1]:.2f}"]]
        )
        helper_us, step_s = helper(Path(scratch), repeats), step_seconds(warm, folder, scratch)
        share = (first[1] + PATH_S / step_s * helper_us / 1e6) / PATH_S
        print()
        print_table(
            ["of a step", "figure"],
            [
                ["helper (us)", f"{helper_us:.0f}"],
                ["model, batch 16 (ms)", f"{1e3 * step_s:.2f}"],
                [f"added to a path of {PATH_S:g} s, start included", f"{100 * share:.1f} %"],
            ],
        )


def led(plan: Plan, folder: Path) -> tuple[float, dict[str, float], int]:
    """Lead a plan to its rows on one worker; return the seconds, the losses, and the chains sent."""
    store: Store = open_store(str(folder), create=True)
    memory, writer, journal = StateMemory(1 << 40), StoreWriter(), Journal(Console(file=io.StringIO()))
    scheduler = StageScheduler(plan.tree, plan.rate, released=memory.release)
    need = WorkerNeeds(cpus=1, gpus=0.0, checkpoint_interval_s=600.0, store_patience_s=0.0)
    pool = LocalPool(plan.context, store.uri, store.identity(), {"train": need, "score": need})
    sent, send = [], pool.send
    pool.send = lambda *words: sent.append(1) or send(*words)  # type: ignore[func-returns-value, method-assign]
    progress = Progress(
        name="programs", cells=len(plan.cells), already=0, flops=plan.tree.flops, fit=LiveFit("loss", ""),
        journal=journal, heartbeat=lambda counts: None,
    )  # fmt: skip
    driver = Driver(
        scheduler=scheduler, pool=pool, policy=FailurePolicy(1, 600.0), context=plan.context, store=store, glance=store,
        writer=writer, progress=progress, stop=StopSignal(), memory=memory,
    )  # fmt: skip
    begun = time.perf_counter()
    try:
        driver.run(1)
        writer.flush(60)
    finally:
        driver.close()
        writer.close(5)
    rows = store.results().to_pylist()
    return time.perf_counter() - begun, {row["cell_id"]: row["val_loss"] for row in rows}, len(sent)


def first_lines(program: Program, folder: Path, scratch: str, repeats: int) -> float:
    """Return the median seconds from starting a process to its first line of metrics, a warm interpreter at hand."""
    from workers.programs.trial import losses_in

    with trials_of(program, folder) as trials:
        trials.run(0, 1)
        taken = []
        for _ in range(repeats):
            begun = time.perf_counter()
            at, processes = trials._start(0, 10**6, ((0, 1.0),), None, None, (), None, every_s=1e9)
            while not losses_in(at):
                time.sleep(0.002)
            taken.append(time.perf_counter() - begun)
            for process in processes:
                process.kill()
    return statistics.median(taken)


def step_seconds(program: Program, folder: Path, scratch: str) -> float:
    """Return the seconds of a step of the smallest model, by the difference between long and short runs."""
    with trials_of(program, folder) as trials:
        trials.run(0, 1)
        taken = []
        for steps in (20, 220):
            begun = time.perf_counter()
            trials.run(0, steps)
            taken.append(time.perf_counter() - begun)
    return (taken[1] - taken[0]) / 200


def trials_of(program: Program, folder: Path) -> Any:
    """Return what runs the smallest model by itself."""
    from orchestrator.execution.program_trial import _trials

    return _trials(make_plan(load_sweep(folder / "sweep.yaml", overrides=FEW), program=program), program)


def helper(folder: Path, repeats: int) -> float:
    """Return the microseconds that the helper takes in a step at batch 16, past the first epoch."""
    task = {
        "protocol": 1, "do": "bench", "id": "b", "work": str(folder), "options": {}, "result": str(folder / "r"),
        "data": {"train_examples": 65_535}, "seed": 1, "batch_size": 16, "stream_examples": 2048, "learning_rate": 1.0,
        "rate_knots": [[0, 0.1], [9, 1.0]], "states": str(folder), "save_steps": [], "checkpoint_interval_s": 1e9,
        "metrics": str(folder / "metrics.jsonl"), "start_step": 0, "stop_step": 10**6,
    }  # fmt: skip
    (folder / "task.json").write_text(json.dumps(task))
    made = Task(folder / "task.json")
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        for step in range(1000, 2000):
            made.rate(step)
            made.step_seed(step)
            made.examples(step)
            made.step_done(step, 1.0, lambda to: None)
        taken.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(taken)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
