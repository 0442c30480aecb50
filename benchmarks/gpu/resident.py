"""Data that lies on the GPU, and index copies that no step waits for: counted in a profiler's trace, which is kept.

What a run of many steps does more often than one of few happens at each step; starting and ending a stage wait, and
are in both.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import torch
from doctor import wait
from findings import Findings, step

from sweeps import image_plan, text_plan, trunk_of
from workers.engine import TorchEngine
from workers.training.batches import CHUNK_STEPS, Feed, training_picks

#: Events of the host that wait for the device.
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "aten::_local_scalar_dense")
FEW, MANY = 4, 36


def counted(engine: TorchEngine, steps: int, plan: object, trace_to: Path | None) -> Counter[str]:
    """Return how often a stage of so many steps waits, and copies from and to the host."""
    trunk = trunk_of(plan, steps)  # type: ignore[arg-type]
    engine.train(trunk, None)
    with torch.profiler.profile() as trace:
        engine.train(trunk, None)
    if trace_to is not None:
        trace.export_chrome_trace(str(trace_to))
    found: Counter[str] = Counter()
    for event in trace.events():
        if event.name in WAITS or "Memcpy HtoD" in event.name or "Memcpy DtoH" in event.name:
            found[event.name] += 1
    return found


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Count for text and images; time the ways to read a batch."""
    for name, plan in (
        ("text", text_plan("20k" if findings.dry else "1M", dry=findings.dry, batch=16, context=256)),
        ("images", image_plan("2k" if findings.dry else "100k", dry=findings.dry, batch=16)),
    ):
        with findings.part(name):
            engine = TorchEngine(plan.context, on_gpu=not findings.dry)
            feed = engine.data("pretrain").feeds["train"]
            findings.check(f"{name} lies on the device", feed.resident or findings.dry, str(feed.resident))
            kept = None if findings.dry else traces / f"resident-{name}.trace.json.gz"
            few, many = counted(engine, FEW, plan, None), counted(engine, MANY, plan, kept)
            more = {key: many[key] - few[key] for key in many if many[key] != few[key]}
            findings.check(
                f"{name}: {MANY - FEW} steps more wait no more often and copy nothing more",
                not more or findings.dry,
                f"in {MANY}: {dict(many)}; more than in {FEW}: {more or 'nothing'}",
            )
            order, trunk = engine.data("pretrain").order(0), trunk_of(plan, CHUNK_STEPS)
            mine = slice(0, trunk.recipe.batch_size)
            for resident in (True, False):
                own = Feed(feed.split, engine.device, resident=resident)
                list(own.batches(training_picks(order, trunk, start=0, mine=mine)))
                wait(engine.device)
                begun = time.perf_counter()
                for _ in own.batches(training_picks(order, trunk, start=0, mine=mine)):
                    continue
                host_s = time.perf_counter() - begun
                wait(engine.device)
                all_s = time.perf_counter() - begun
                findings.row(
                    "a batch",
                    data=name,
                    way="resident" if resident else "from the host",
                    host_us=f"{1e6 * host_s / CHUNK_STEPS:.0f}",
                    with_the_device_us=f"{1e6 * all_s / CHUNK_STEPS:.0f}",
                )


if __name__ == "__main__":
    step(run, __doc__)
