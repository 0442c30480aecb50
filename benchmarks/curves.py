"""What curves cost: a stage with its recorder and the written part, against the same with a recorder that does nothing.

``python -m benchmarks.curves [ROUNDS]`` prints the table of BENCHMARKS.md; rounds alternate, and ratios are of
neighbours, of CPU seconds, as a clock sees what else a machine does. What recorder and writing take by the clock stands
beside it.
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
#: What is trained: N, batch, context, steps and the clip, by which the gradients' norm is there already or is computed.
CASES = (("100k", 10, 128, 200, "1.0"), ("100k", 10, 128, 200, "null"), ("6.3k", 16, 64, 600, "1.0"))


@dataclass
class Times:
    """What the rounds of one case took."""

    #: CPU seconds without and with a curve.
    plain_cpu_s: list[float] = field(default_factory=list)
    recorded_cpu_s: list[float] = field(default_factory=list)
    #: Seconds with a curve, and those of them in the recorder and in writing.
    recorded_s: list[float] = field(default_factory=list)
    inside_s: list[float] = field(default_factory=list)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"{machine()}, one thread, {rounds} rounds\n", flush=True)
    rows = []
    for params, batch, context, steps, clip in CASES:
        times = _times(params, batch, context, steps, clip, rounds)
        more = statistics.median(b / a - 1 for a, b in zip(times.plain_cpu_s, times.recorded_cpu_s, strict=True))
        share = statistics.median(i / b for i, b in zip(times.inside_s, times.recorded_s, strict=True))
        step_s = statistics.median(times.recorded_s) / steps
        rows.append(
            (
                f"N = {params}, {batch} x {context}, {steps} steps, clip {clip}",
                f"{1000 * step_s:.1f} ms",
                f"{100 * more:+.2f} %",
                f"{100 * share:.2f} %",
            )
        )
    print_table(("stage", "a step", "stage with its curve against without", "of it in recorder and writing"), rows)


def _times(params: str, batch: int, context: int, steps: int, clip: str, rounds: int) -> Times:
    text = (
        f"name: curves\ndata: {{source: python-stdlib, max_examples: {batch * steps}}}\nmodel: {{context: {context}}}\n"
        f"grid: {{params: [{params}]}}\ntrain: {{batch_size: {batch}, schedule: constant, gradient_clip: {clip}}}\n"
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
        begun_s = time.process_time()
        engine.train(stage, None, None)
        times.plain_cpu_s.append(time.process_time() - begun_s)


def _with(engine: TorchEngine, stage: Stage, store: Store, times: Times) -> None:
    for key in store.blobs.list("curves"):
        store.blobs.delete(key)
    spent = [0.0]
    checkpointer = Checkpointer(
        store.checkpoints, engine.pack, engine.unpack, write_curves=_clocked(partial(_write, store), spent)
    )
    with mock.patch.object(CurveRecorder, "after", _clocked(CurveRecorder.after, spent)):
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        engine.train(stage, None, checkpointer)
        checkpointer.flush_curves()
        times.recorded_cpu_s.append(time.process_time() - begun_cpu_s)
        times.recorded_s.append(time.perf_counter() - begun_s)
    times.inside_s.append(spent[0])


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
