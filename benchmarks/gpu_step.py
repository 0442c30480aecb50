"""The training loop on one GPU: MFU against a hand-written torch loop, and four workers on one GPU against one.

    python benchmarks/gpu_step.py [--precision bf16] [--compile false true] [--repeats 3]
    python benchmarks/gpu_step.py --device cpu        (tiny sizes, to try the script)

Both loops train the same byte transformer from the same weights on the same batches, with AdamW at the same rates; the
hand-written one has all batches on the device before it starts. A step's time is that of the longer run less that of
the shorter one, over the steps between them, so building and saving cancel; compiling is done before. MFU is the closed
form's FLOPs (three times the forward pass, with the whole square of attention scores) over the device's peak. The
second table runs equal cells on warm Ray workers, from the first cell's start to the last row.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch
from hand_written import HandWritten
from rich.console import Console
from table import machine, print_table

from orchestrator.execution.run import run_sweep
from orchestrator.planning import make_plan
from orchestrator.planning.machine import usable_cores
from orchestrator.spec import parse_sweep
from orchestrator.spec.sections.train import Train
from orchestrator.store import open_store
from workers.engine import TorchEngine

STEPS_SWEEP = """\
name: gpu-step
data: {{source: python-stdlib, eval_examples: 128}}
model: {{family: transformer, context: {context}, head_dim: {head_dim}}}
grid: {{params: {params}}}
train: {{batch_size: {batch}, schedule: constant, warmup_steps: 10}}
resources: {{gpus_per_worker: {gpus}}}
"""
CELLS_SWEEP = """\
name: gpu-workers
data: {{source: python-stdlib, max_examples: {examples}, eval_examples: 128}}
grid: {{params: {params}, epochs: 2, seeds: 8}}
train: {{batch_size: 16, schedule: constant}}
resources: {{workers: {workers}, gpus_per_worker: {gpus}}}
"""
#: Dense bf16 peaks from data sheets in FLOPs a second; another device's is measured.
PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12}
#: Least throughput of our loop over the hand-written one's.
TARGET = 0.95


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a device is given to do; ``steps`` are those of the shorter and the longer run."""

    params: tuple[str, ...]
    fields: dict[str, float]
    steps: tuple[int, int]
    workers: tuple[dict[str, float], ...]
    cells: dict[str, object]


SIZES = {
    "cuda": Sizes(
        params=("1M", "10M", "100M"),
        fields={"context": 1024, "head_dim": 64, "batch": 64, "gpus": 1},
        steps=(20, 120),
        cells={"params": "1M", "examples": 8192},
        workers=({"workers": 1, "gpus": 1}, {"workers": 4, "gpus": 0.25}),
    ),
    "cpu": Sizes(
        params=("20k", "40k"),
        fields={"context": 64, "head_dim": 16, "batch": 16, "gpus": 0},
        steps=(2, 8),
        cells={"params": "2k", "examples": 64},
        workers=({"workers": 1, "gpus": 0}, {"workers": 2, "gpus": 0}),
    ),
}


def step_line(sizes: Sizes, params: str, overrides: list[str], repeats: int, peak: float) -> list[object]:
    """Return a line of the first table."""
    plan = make_plan(parse_sweep(STEPS_SWEEP.format(params=params, **sizes.fields), overrides=overrides))
    trunk, evaluate = plan.tree
    engine = TorchEngine(plan.context, on_gpu=sizes.fields["gpus"] > 0)
    by_hand = HandWritten(engine, trunk, sizes.steps[1])
    loops = (lambda steps: engine.train(replace(trunk, stop_step=steps), None), by_hand.train)
    ends: list[Any] = [loop(sizes.steps[0]) for loop in loops]  # compiles, and warms the device up
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for way, loop in enumerate(loops):
            spent_s = []
            for steps in sizes.steps:
                begun = time.perf_counter()
                ends[way] = loop(steps)
                spent_s.append(time.perf_counter() - begun)
            times[way].append((spent_s[1] - spent_s[0]) / (sizes.steps[1] - sizes.steps[0]))
    ours_s, hand_s = map(statistics.median, times)
    losses = [engine.measure(evaluate, state)["val_loss"] for state in (ends[0], replace(ends[0], model=ends[1]))]
    mfu = [f"{100 * trunk.flops / trunk.steps / seconds / peak:.1f} %" for seconds in (ours_s, hand_s)]
    tokens = sizes.fields["batch"] * sizes.fields["context"]
    return [
        *(f"{trunk.shape.params_non_embedding:,}", " ".join(overrides), f"{tokens:,}"),
        *(f"{1e3 * ours_s:.2f}", mfu[0], f"{1e3 * hand_s:.2f}", mfu[1], f"{hand_s / ours_s:.3f}", TARGET),
        *(f"{loss:.4f}" for loss in losses),
    ]


def cells_s(sizes: Sizes, workers: dict[str, float], overrides: list[str]) -> tuple[float, dict[str, float]]:
    """Return the seconds that equal cells take on some workers, and their validation losses."""
    sweep = parse_sweep(CELLS_SWEEP.format(**sizes.cells, **workers), overrides=overrides)
    with tempfile.TemporaryDirectory() as folder:
        result = run_sweep(sweep, store=folder, console=Console(file=io.StringIO()))
        rows = open_store(folder).results().to_pylist()
    if result.failed or result.missing:
        raise RuntimeError(next((row["error"] for row in rows if row["error"]), "cells are missing"))
    taken = max(row["finished_at"] for row in rows) - min(row["started_at"] for row in rows)
    return taken.total_seconds(), {row["cell_id"]: row["val_loss"] for row in rows}


def print_workers(sizes: Sizes, overrides: list[str], repeats: int) -> None:
    """Print the second table."""
    cores, gpus = usable_cores(), sizes.fields["gpus"]
    ray.init("local", num_cpus=cores, num_gpus=int(gpus), include_dashboard=False, log_to_driver=False)
    turns = [[cells_s(sizes, each, overrides) for each in sizes.workers] for _ in range(repeats)]
    ray.shutdown()
    losses = turns[0][0][1]
    taken_s = [statistics.median(turn[k][0] for turn in turns) for k in range(len(sizes.workers))]
    lines: list[list[object]] = []
    for k, each in enumerate(sizes.workers):
        apart = max(abs(turn[k][1][cell] - loss) for turn in turns for cell, loss in losses.items())
        figures = [f"{taken_s[k]:.1f}", f"{taken_s[0] / taken_s[k]:.2f}", f"{apart:.1e}" if apart else "0.0"]
        lines.append([each["workers"], each["gpus"], len(losses), *figures])
    print()
    print_table(["workers", "GPUs each", "cells", "s", "times one worker", "largest Δloss"], lines)


def recipe_overrides(wanted: dict[str, str]) -> list[str]:
    """Return the settings of ``train`` that this version knows, as overrides."""
    return [f"train.{key}={value}" for key, value in wanted.items() if key in Train.model_fields]


def peak_flops(device: str) -> tuple[float, str]:
    """Return the device's peak in FLOPs a second and where it is from."""
    known = [peak for name, peak in PEAKS.items() if device == "cuda" and name in torch.cuda.get_device_name()]
    if known:
        return known[0], "data sheet, dense bf16"
    size, dtype = (8192, torch.bfloat16) if device == "cuda" else (1024, torch.float32)
    a = torch.ones(size, size, dtype=dtype, device=device)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        (a @ a)[0, 0].item()
        times.append(time.perf_counter() - begun)
    return 2 * size**3 / min(times), f"measured, a product of {size} x {size} matrices"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--precision", choices=("bf16", "fp32"), help="bf16 on a GPU, else fp32")
    parser.add_argument("--compile", nargs="+", choices=("false", "true"), help="each in turn; false on the CPU")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here that torch can use; --device cpu tries the script at tiny sizes.")
        return
    on_gpu, sizes = options.device == "cuda", SIZES[options.device]
    torch.set_num_threads(1 if not on_gpu else torch.get_num_threads())
    peak, source = peak_flops(options.device)
    wanted = {"precision": options.precision or ("bf16" if on_gpu else "fp32")}
    name = torch.cuda.get_device_name() if on_gpu else machine()
    print(
        f"{name}; torch {torch.__version__}; peak {peak / 1e12:.3g} TFLOP/s ({source}); median of {options.repeats}\n"
    )
    lines = []
    for compiled in options.compile or (("false", "true") if on_gpu else ("false",)):
        overrides = recipe_overrides({**wanted, "compile": compiled})
        lines += [step_line(sizes, params, overrides, options.repeats, peak) for params in sizes.params]
    header = ["N", "recipe", "tokens a step", "ours ms", "MFU", "hand-written ms", "MFU", "ratio", "target"]
    print_table([*header, "val_loss, ours", "hand-written"], lines)
    print_workers(sizes, recipe_overrides(wanted), options.repeats)


if __name__ == "__main__":
    main()
