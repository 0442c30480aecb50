"""The most memory that training holds, measured against what `scalaw plan` says of it, which has no device."""

from __future__ import annotations

from pathlib import Path

import torch
from findings import Findings, step

from orchestrator.planning.memory import training_bytes
from orchestrator.spec.registries import FAMILIES
from sweeps import text_plan, trunk_of
from workers.engine import TorchEngine
from workers.serving.peak_memory import _Watch

#: Largest distance of the estimate from what was measured.
WITHIN = 0.15


class _Step:
    """Begins to measure once the moments are there."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def after_step(self, stage: object, done: int, state: object) -> None:
        if done == 2 and self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()


def measured_bytes(engine: TorchEngine, trunk: object) -> int:
    """Return the peak of a step, without what lies on the device besides: the data."""
    if engine.device.type == "cuda":
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        engine.train(trunk, None, _Step(engine.device))  # type: ignore[arg-type]
        return int(torch.cuda.max_memory_allocated()) - before
    with _Watch() as watch:
        engine.train(trunk, None)  # type: ignore[arg-type]
    return watch.peak


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Measure some sizes."""
    sizes = (("20k", 8), ("50k", 32)) if findings.dry else (("1M", 16), ("10M", 16), ("125M", 4), ("125M", 16))
    for params, batch in sizes:
        for precision in ("fp32", "bf16"):
            with findings.part(f"{params} {batch} {precision}"):
                overrides = [f"train.precision={precision}"]
                plan = text_plan(params, dry=findings.dry, batch=batch, overrides=overrides)
                engine = TorchEngine(plan.context, on_gpu=not findings.dry)
                trunk = trunk_of(plan, 4)
                found = measured_bytes(engine, trunk)
                estimate = training_bytes(trunk, FAMILIES.load(plan.context.family)(), plan.context)
                findings.row(
                    "peak",
                    N=f"{trunk.shape.params_non_embedding:,}",
                    batch=batch,
                    precision=precision,
                    measured_MB=f"{found / 1e6:,.1f}",
                    estimate_MB=f"{estimate / 1e6:,.1f}",
                    ratio=f"{estimate / found:.2f}",
                )
                findings.check(
                    f"{params}, batch {batch}, {precision}: estimate within {WITHIN:.0%}",
                    abs(estimate / found - 1) <= WITHIN or findings.dry,
                    f"{estimate / found:.2f} of what was measured",
                )
                del engine


if __name__ == "__main__":
    step(run, __doc__)
