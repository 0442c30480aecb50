"""What curves cost: a stage with its recorder and the written part, against the same with a recorder that does nothing.

``python -m benchmarks.curves [ROUNDS]`` prints the table of BENCHMARKS.md; rounds alternate, and ratios are of
neighbours. What the recorder and the writing take by the clock is stated beside it: that is less at the mercy of what
else a machine does.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from unittest import mock

import torch

from benchmarks.table import machine, print_table
from orchestrator.planning import make_plan
from orchestrator.planning.tree import Stage
from orchestrator.spec import parse_sweep
from orchestrator.store import Store, open_store
from workers.checkpointer import Checkpointer
from workers.curves import StageCurve
from workers.engine import TorchEngine
from workers.training.curve import CurveRecorder

ROUNDS = 7
#: What is trained: N, batch, context and steps, from what a step takes in earnest to one that is overhead alone.
CASES = (("100k", 16, 128, 200), ("100k", 16, 128, 400), ("25k", 16, 64, 200), ("6.3k", 16, 64, 600))


@dataclass
class Times:
    """Seconds of the rounds of one case."""

    plain: list[float] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    #: Seconds of a round in the recorder and in writing.
    inside: list[float] = field(default_factory=list)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{machine()}, one thread, {rounds} rounds\n", flush=True)
    rows = []
    for params, batch, context, steps in CASES:
        times = _times(params, batch, context, steps, rounds)
        more = statistics.median(b / a - 1 for a, b in zip(times.plain, times.recorded, strict=True))
        share = statistics.median(i / b for i, b in zip(times.inside, times.recorded, strict=True))
        step_s = statistics.median(times.plain) / steps
        rows.append(
            (
                f"N = {params}, {batch} x {context}, {steps} steps",
                f"{1000 * step_s:.1f} ms",
                f"{100 * more:+.2f} %",
                f"{100 * share:.2f} %",
            )
        )
    print_table(("stage", "a step", "stage with its curve against without", "of it in recorder and writing"), rows)


def _times(params: str, batch: int, context: int, steps: int, rounds: int) -> Times:
    text = (
        f"name: curves\ndata: {{source: python-stdlib, max_examples: {batch * steps}}}\nmodel: {{context: {context}}}\n"
        f"grid: {{params: [{params}]}}\ntrain: {{batch_size: {batch}, schedule: constant}}\n"
    )
    plan = make_plan(parse_sweep(text))
    engine = TorchEngine(plan.context)
    stage = next(stage for stage in plan.tree if stage.steps)
    times = Times()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, create=True)
        for k in range(-1, rounds):
            order = (_without, _with) if k % 2 else (_with, _without)
            for round_s in order:
                round_s(engine, stage, store, times if k >= 0 else Times())
    return times


def _without(engine: TorchEngine, stage: Stage, store: Store, times: Times) -> None:
    with mock.patch.object(CurveRecorder, "after", _nothing):
        begun = time.perf_counter()
        engine.train(stage, None, None)
        times.plain.append(time.perf_counter() - begun)


def _with(engine: TorchEngine, stage: Stage, store: Store, times: Times) -> None:
    for key in store.blobs.list("curves"):
        store.blobs.delete(key)
    spent = [0.0]
    checkpointer = Checkpointer(
        store.checkpoints, engine.pack, engine.unpack, write_curves=_clocked(partial(_write, store), spent)
    )
    with mock.patch.object(CurveRecorder, "after", _clocked(CurveRecorder.after, spent)):
        begun = time.perf_counter()
        engine.train(stage, None, checkpointer)
        checkpointer.flush_curves()
        times.recorded.append(time.perf_counter() - begun)
    times.inside.append(spent[0])


def _clocked(call: Callable[..., None], spent: list[float]) -> Callable[..., None]:
    def clocked(*given: object) -> None:
        begun = time.perf_counter()
        call(*given)
        spent[0] += time.perf_counter() - begun

    return clocked


def _write(store: Store, curves: list[StageCurve]) -> None:
    store.save_curves([curve.table() for curve in curves])


def _nothing(recorder: CurveRecorder, *given: object) -> None:
    """Take no loss."""


if __name__ == "__main__":
    main()
