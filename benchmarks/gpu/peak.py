"""The most memory that training holds, measured against a closed form of the model and its recipe.

The form is that of a planner, which has no device: weights, gradients and two moments in float32, bf16 copies of the
weights that autocast keeps, and what the backward pass needs of each layer and token.
"""

from __future__ import annotations

from pathlib import Path

import torch
from findings import Findings, step

from orchestrator.planning.family import ModelShape
from sweeps import text_plan, trunk_of
from workers.engine import TorchEngine
from workers.serving.peak_memory import _Watch

#: Largest distance of the estimate from what was measured.
WITHIN = 0.15


def estimated_bytes(shape: ModelShape, examples: int, precision: str) -> int:
    """Return the peak of training a transformer, eagerly, with AdamW.

    For each token a block keeps the inputs of its two norms (float32, as the residual stream is), their outputs as the
    matrices read them, queries, keys and values, what attention returns, and the MLP's hidden layer before and after
    its activation: twice a width in float32, and 14 widths in the precision of the matrices. Gradients take the place
    of activations as the backward pass goes on, so the larger of the two counts.
    """
    width, depth, vocabulary = (shape.dim(name) for name in ("width", "depth", "vocabulary"))
    tokens = examples * shape.dim("context")
    half = precision == "bf16"
    each = 2 if half else 4
    block = tokens * width * (2 * 4 + 14 * each)
    logits = tokens * vocabulary * (each + 3 * 4)
    weights = shape.params_total
    state = weights * (4 + 8)
    return state + (2 * weights if half else 0) + max(depth * block + logits + tokens * width * 8, 4 * weights)


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
                estimate = estimated_bytes(trunk.shape, batch, precision)
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
