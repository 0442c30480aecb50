"""Fused against separate training on one CPU thread: seconds a step of K models, and how far their losses part.

    python benchmarks/fused.py

Byte transformers of two layers on Python source, AdamW; the first table as in sweeps/quickstart.yaml (batches of 16
windows of 64 bytes), the second with batches of 4 windows of 16. Both ways train the same models on the same batches in
turn; a time is the median of 5 turns, and the difference of the losses is the largest after all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from table import machine, print_table

from orchestrator.planning import make_plan
from orchestrator.planning.tree import Stage
from orchestrator.spec import parse_sweep
from orchestrator.spec.registries import OPTIMIZERS
from workers.engine import TorchEngine
from workers.rank import ALONE
from workers.training.batches import Batch, training_picks
from workers.training.fused import train_fused
from workers.training.fusing import fusing_pays
from workers.training.loop import Model, train_steps
from workers.training.merge import OpenWindows
from workers.training.score import score

TURNS = 5
#: Optimiser steps of each way in a turn, however many models there are.
STEPS = 2
COUNTS = (2, 4, 8, 32)
#: Widths 16, 24, 32 and 64 at two layers.
SWEEP = """\
name: fused
data: {{source: python-stdlib, max_examples: 4096, eval_examples: 128}}
model: {{family: transformer, context: {context}}}
grid: {{params: [6.3k, 14k, 25k, 99k], seeds: 32}}
train: {{batch_size: {batch}, warmup_steps: 30, schedule: constant}}
"""


class Runs:
    """The same models of one shape twice: trained alone, one after another, and fused."""

    def __init__(self, engine: TorchEngine, stages: Sequence[Stage]) -> None:
        self.engine, self.recipe, self.stages = engine, stages[0].recipe, stages
        self.orders = [engine.data("pretrain").order(stage.seed) for stage in stages]
        self.alone, self.fused = ([self._built(stage) for stage in stages] for _ in range(2))

    def _built(self, stage: Stage) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        module = self.engine.build(stage)
        groups = self.engine.family.parameter_groups(module, stage.shape)
        return module, OPTIMIZERS.load(self.recipe.optimizer)(groups, self.recipe)

    def batches(self, steps: int) -> list[Iterator[Batch]]:
        """Return what each model reads in its first steps."""
        stages = [replace(stage, stop_step=steps) for stage in self.stages]
        return [
            self.engine.data("pretrain").feeds["train"].batches(training_picks(order, stage, start=0, mine=slice(None)))
            for order, stage in zip(self.orders, stages, strict=True)
        ]

    def pays(self) -> bool:
        """Return what the probe says."""
        samples = [next(read) for read in self.batches(1)]
        modules, optimizers = zip(*self.fused, strict=True)
        return fusing_pays(modules, optimizers, samples, self.recipe)

    def train_alone(self, start: int, stop: int) -> None:
        """Train the models that stay alone, one after another."""
        for stage, order, (module, optimizer) in zip(self.stages, self.orders, self.alone, strict=True):
            train_steps(
                Model(module, module),
                optimizer,
                self.engine.data("pretrain").feeds["train"],
                order,
                replace(stage, stop_step=stop),
                start=start,
                rank=ALONE,
                windows=OpenWindows(self.recipe, (), {}),
                after_step=lambda step: None,
            )

    def in_turns(self) -> tuple[float, float]:
        """Train both ways in turn, after one turn that isn't counted; return median seconds a step, alone and fused."""
        modules, optimizers = zip(*self.fused, strict=True)
        alone_s: list[float] = []
        fused_s: list[float] = []
        begun = time.perf_counter()

        def after_step(step: int) -> None:
            nonlocal begun
            if step % STEPS == 0:
                between = time.perf_counter()
                fused_s.append((between - begun) / STEPS)
                self.train_alone(step - STEPS, step)
                begun = time.perf_counter()
                alone_s.append((begun - between) / STEPS)

        stop = (TURNS + 1) * STEPS
        train_fused(
            modules,
            optimizers,
            self.batches(stop),
            self.recipe,
            start=0,
            stop=stop,
            total_steps=None,
            windows=[OpenWindows(self.recipe, (), {}) for _ in modules],
            after_step=after_step,
        )
        return statistics.median(alone_s[1:]), statistics.median(fused_s[1:])

    def loss_difference(self) -> float:
        """Return the largest difference of two validation losses in nats."""
        val = self.engine.data("pretrain").feeds["val"]
        losses = [
            [score(module, val, np.arange(self.engine.context.eval_examples))[0] for module, _ in models]
            for models in (self.alone, self.fused)
        ]
        return max(abs(a - b) for a, b in zip(*losses, strict=True))


def table(widths: Sequence[int], batch: int, context: int) -> None:
    """Print a table; the probe's answer comes from models that haven't trained yet."""
    plan = make_plan(parse_sweep(SWEEP.format(batch=batch, context=context)))
    engine = TorchEngine(plan.context)
    rows = []
    for width in widths:
        stages = [stage for stage in plan.tree if stage.parent is None and stage.shape.dim("width") == width]
        for copies in COUNTS:
            runs = Runs(engine, stages[:copies])
            pays = runs.pays()
            alone_s, fused_s = runs.in_turns()
            ratio, apart = f"{alone_s / fused_s:.2f}", f"{runs.loss_difference():.0e}"
            rows.append([width, copies, f"{alone_s:.4f}", f"{fused_s:.4f}", ratio, apart, "yes" if pays else "no"])
    print(f"\nBatches of {batch} windows of {context} bytes:\n")
    print_table(["width", "copies K", "separate s", "fused s", "ratio", "largest Δloss", "pays, says the probe"], rows)


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    print(f"{machine()}; torch {torch.__version__}, 1 thread; {TURNS} turns of {STEPS} steps, K models a step")
    table((16, 24, 32, 64), batch=16, context=64)
    table((16, 64), batch=4, context=16)


if __name__ == "__main__":
    main()
