"""What curves cost: a stage with its recorder and the written part, against the same with a recorder that does nothing.

``python -m benchmarks.curves`` prints the table of BENCHMARKS.md; rounds alternate, and ratios are of neighbours.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from unittest import mock

from benchmarks.table import machine, print_table
from orchestrator.planning import make_plan
from orchestrator.spec import parse_sweep
from orchestrator.store import Store, open_store
from workers.checkpointer import Checkpointer
from workers.curves import StageCurve
from workers.engine import TorchEngine
from workers.training.curve import CurveRecorder

ROUNDS = 5
#: What is trained: N, batch, context and steps.
CASES = (("6.3k", 16, 64, 200), ("6.3k", 16, 64, 1_000), ("99k", 16, 64, 200))


def main() -> None:
    """Print the table."""
    print(f"{machine()}\n")
    rows = []
    for params, batch, context, steps in CASES:
        plain, recorded = _times_s(params, batch, context, steps)
        more = statistics.median(b / a - 1 for a, b in zip(plain, recorded, strict=True))
        rows.append(
            (f"N = {params}, {batch} x {context}, {steps} steps", f"{min(plain):.2f} s", f"{100 * more:+.2f} %")
        )
    print_table(("stage", "without", "curve and its part"), rows)


def _times_s(params: str, batch: int, context: int, steps: int) -> tuple[list[float], list[float]]:
    text = (
        f"name: curves\ndata: {{source: python-stdlib, max_examples: {batch * steps}}}\nmodel: {{context: {context}}}\n"
        f"grid: {{params: [{params}]}}\ntrain: {{batch_size: {batch}, schedule: constant}}\n"
    )
    plan = make_plan(parse_sweep(text))
    engine = TorchEngine(plan.context)
    stage = next(stage for stage in plan.tree if stage.steps)
    plain: list[float] = []
    recorded: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, create=True)
        for k in range(-1, ROUNDS):
            for times, records in ((plain, False), (recorded, True)):
                keeper = Checkpointer(
                    store.checkpoints, engine.pack, engine.unpack, write_curves=partial(_write, store)
                )
                begun = time.perf_counter()
                if records:
                    engine.train(stage, None, keeper)
                    for key in store.blobs.list("curves"):
                        store.blobs.delete(key)
                    keeper.flush_curves()
                else:
                    with mock.patch.object(CurveRecorder, "after", _nothing):
                        engine.train(stage, None, None)
                if k >= 0:
                    times.append(time.perf_counter() - begun)
    return plain, recorded


def _write(store: Store, curves: list[StageCurve]) -> None:
    store.save_curves([curve.table() for curve in curves])


def _nothing(recorder: CurveRecorder, *given: object) -> None:
    """Take no loss."""


if __name__ == "__main__":
    main()
