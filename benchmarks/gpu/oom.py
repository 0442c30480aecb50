"""A cell that doesn't fit the GPU ends as its own failure row, one that fits in parts trains in parts, others as usual.

Most of the card's memory is taken first, by plain allocations, so that small models are too large. A trial on the CPU
has a family of its own instead (`hungry.py`, as an installed package would bring one), which refuses large batches.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from findings import Findings, step

#: Memory that is left to the worker: its context takes about a third of it.
LEFT_BYTES = 1_800 << 20
SWEEP = """\
name: gpu-memory
data: {{source: python-stdlib, max_examples: 64, eval_examples: 16}}
model: {{family: {family}, context: {context}}}
grid: {{params: [{params}]}}
train: {{batch_size: 16, schedule: constant, warmup_steps: 1}}
resources: {{workers: 1, gpus_per_worker: {gpus}, max_retries: 0}}
inference: {{measure: false}}
"""
HUNGRY = """\
import torch
from workers.families.transformer.module import ByteTransformer
from workers.families.transformer.plan import Transformer
from workers.families.transformer.train import TrainedTransformer


class Hungry(Transformer):
    name = "hungry"
    training = "hungry:TrainedHungry"

    @staticmethod
    def shape_for(params, options, data):
        from dataclasses import replace

        return replace(Transformer.shape_for(params, options, data), family="hungry")


class HungryModule(ByteTransformer):
    def forward(self, tokens):
        size = sum(p.numel() for p in self.parameters())
        if torch.is_grad_enabled() and len(tokens) * size > 200_000:
            raise torch.OutOfMemoryError("the trial's device is full")
        return super().forward(tokens)


class TrainedHungry(TrainedTransformer, Hungry):
    @staticmethod
    def build(shape, options, data):
        names = ("vocabulary", "context", "width", "depth", "heads")
        return HungryModule(**{name: shape.dim(name) for name in names})
"""


@contextmanager
def little_memory(findings: Findings) -> Iterator[dict[str, object]]:
    """Leave little memory on the card, or install the family of the trial; yields what the sweep needs."""
    if findings.dry:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "hungry.py").write_text(HUNGRY, "utf-8")
            about = Path(folder) / "hungry-0.dist-info"
            about.mkdir()
            (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hungry\nVersion: 0\n", "utf-8")
            (about / "entry_points.txt").write_text("[scalaw.families]\nhungry = hungry:Hungry\n", "utf-8")
            sys.path.insert(0, folder)
            os.environ["PYTHONPATH"] = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
            yield {"family": "hungry", "context": 16, "params": "3k, 20k, 200k", "gpus": 0}
        return
    free, _ = torch.cuda.mem_get_info()
    held = torch.empty(max(0, free - LEFT_BYTES), dtype=torch.uint8, device="cuda")
    findings.fact("free for the worker, MB", f"{torch.cuda.mem_get_info()[0] / 1e6:,.0f}")
    try:
        yield {"family": "transformer", "context": 1024, "params": "200k, 10M, 200M", "gpus": 1}
    finally:
        del held


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Run a sweep of three sizes on what is left."""
    with little_memory(findings) as fields, tempfile.TemporaryDirectory() as folder:
        import ray
        from rich.console import Console

        from orchestrator.execution.run import run_sweep
        from orchestrator.spec import parse_sweep
        from orchestrator.store import open_store

        result = run_sweep(
            parse_sweep(SWEEP.format(**fields)), store=folder, dashboard=False, console=Console(file=io.StringIO())
        )
        rows = sorted(open_store(folder).results().to_pylist(), key=lambda row: row["params_non_embedding"])
        ray.shutdown()
    for row in rows:
        findings.row(
            "cells",
            N=f"{row['params_non_embedding']:,}",
            status=row["status"],
            attempt=row["attempt"],
            said=(row["warnings"] or "")[:160],
            error=((row["error"] or "").strip().splitlines() or [""])[-1][:160],
        )
    small, middle, large = rows
    findings.check("the cell that can't fit has its own failure row", large["status"] == "failed", large["status"])
    findings.check(
        "its row says that memory was lacking", "OutOfMemory" in (large["error"] or ""), "as the table shows"
    )
    findings.check("the small cell trained", small["status"] == "ok", small["status"])
    findings.check(
        "it trained in one part", "parts" not in (small["warnings"] or ""), small["warnings"] or "nothing said"
    )
    in_parts = middle["status"] == "ok" and "parts a batch" in (middle["warnings"] or "")
    findings.check("the middle one trained in parts", in_parts, middle["warnings"] or middle["status"])
    findings.check("one failure, no more", result.failed == 1, f"{result.failed} failed, {result.rows} rows")


if __name__ == "__main__":
    step(run, __doc__)
