"""Step time and MFU of one size in bf16, ours against a hand-written loop of the same model in the same process.

    python benchmarks/gpu/step_time.py 125M
    python benchmarks/gpu/step_time.py --ahead 1M 10M     (compiles, times nothing)

Both loops train the same transformer from the same weights on the same batches, with fused AdamW at the same rates; the
hand-written one has all batches on the device before it starts, and model and loss in one compiled function. The host
waits for the device at the marks alone, between which many steps lie. MFU is the closed form's FLOPs (three times the
forward pass, with the whole square of attention scores) over the card's peak.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from doctor import peak_flops, wait
from findings import Findings, step
from gaps import attention_kernels, kernels, largest_gaps
from hand_written import HandWritten

from orchestrator.planning.tree import Stage
from sweeps import text_plan, trunk_of
from workers.engine import TorchEngine

#: Least throughput of our loop over the hand-written one's, and least MFU at 125M and 350M on an H100-class card.
RATIO, MFU = 0.95, 0.5
#: Of each size: examples a batch (of 1,024 tokens), steps before the first mark, between marks, and marks; recipes.
SIZES: dict[str, tuple[int, int, int, int, tuple[str, ...]]] = {
    "1M": (64, 10, 40, 5, ("false", "true", "graphs")),
    "10M": (64, 8, 12, 5, ("false", "true", "graphs")),
    "125M": (32, 4, 5, 4, ("true", "false")),
    "350M": (16, 4, 5, 3, ("true",)),
}
DRY = {"1M": "6k", "10M": "10k", "125M": "14k", "350M": "20k"}
#: Steps that the profiler sees.
SEEN = 3


@dataclass
class Marks:
    """Seconds of a step between marks, and a profile of some steps after them.

    It has the one method of a checkpointer that training calls, and keeps nothing.
    """

    device: torch.device
    first: int
    apart: int
    count: int
    profile: bool = False
    found_s: list[float] = field(default_factory=list)
    trace: torch.profiler.profile | None = None
    _begun_s: float = 0.0

    @property
    def steps(self) -> int:
        """Steps to train."""
        return self.first + self.apart * self.count + (SEEN + 2 if self.profile else 0)

    def after_step(self, stage: Stage | None, done: int, state: Callable[[], Any] | None = None) -> None:
        """Take the time where a mark stands."""
        last = self.first + self.apart * self.count
        if self.first <= done <= last and (done - self.first) % self.apart == 0:
            wait(self.device)
            now = time.perf_counter()
            if done > self.first:
                self.found_s.append((now - self._begun_s) / self.apart)
            self._begun_s = time.perf_counter()
        if self.profile and done == last + 1:
            wait(self.device)
            self.trace = torch.profiler.profile()
            self.trace.__enter__()
        if self.profile and done == last + 1 + SEEN and self.trace is not None:
            wait(self.device)
            self.trace.__exit__(None, None, None)

    @property
    def step_s(self) -> float:
        """The median."""
        return statistics.median(self.found_s)


def timed(findings: Findings, params: str, how: str, traces: Path) -> None:
    """Time one size under one recipe."""
    batch, first, apart, count, _ = SIZES[params]
    if findings.dry:
        batch, first, apart, count = 4, 1, 1, 2
    precision = "fp32" if findings.dry else "bf16"
    overrides = [f"train.precision={precision}", f"train.compile={how}"]
    plan = text_plan(DRY[params] if findings.dry else params, dry=findings.dry, batch=batch, overrides=overrides)
    engine = TorchEngine(plan.context, on_gpu=not findings.dry)
    ours = Marks(engine.device, first, apart, count, profile=True)
    by_hand = Marks(engine.device, first, apart, count)
    trunk = trunk_of(plan, ours.steps)
    loop = HandWritten(engine, trunk, by_hand.steps)
    loop.train(by_hand.steps, lambda done: by_hand.after_step(None, done))
    again = Marks(engine.device, first, apart, count)
    engine.train(trunk, None, ours)  # type: ignore[arg-type]
    if apart > 5:  # small sizes: once more, after ours, against a clock that drifts
        loop.train(again.steps, lambda done: again.after_step(None, done))
        by_hand.found_s += again.found_s
    peak, source = peak_flops(engine.device)
    flops = trunk_of(plan).flops / trunk_of(plan).steps
    ratio = by_hand.step_s / ours.step_s
    mfu, mfu_by_hand = (flops / seconds / peak for seconds in (ours.step_s, by_hand.step_s))
    tokens = batch * (plan.context.data["pretrain"].manifest.tokens_per_example or 1)
    findings.row(
        "steps",
        N=f"{trunk.shape.params_non_embedding:,}",
        compile=how,
        tokens=f"{tokens:,}",
        ours_ms=f"{1e3 * ours.step_s:.2f}",
        ours_MFU=f"{mfu:.1%}",
        by_hand_ms=f"{1e3 * by_hand.step_s:.2f}",
        by_hand_MFU=f"{mfu_by_hand:.1%}",
        ratio=f"{ratio:.3f}",
        tokens_per_s=f"{tokens / ours.step_s:,.0f}",
        spread=f"{min(ours.found_s) * 1e3:.2f}-{max(ours.found_s) * 1e3:.2f}",
    )
    findings.fact("peak, TFLOP/s", f"{peak / 1e12:.3g} ({source})")
    findings.check(f"{params} compile={how}: at least {RATIO} of the hand-written loop", ratio >= RATIO, f"{ratio:.3f}")
    if params in ("125M", "350M") and how == "true":
        findings.check(f"{params}: at least {MFU:.0%} MFU", mfu >= MFU, f"{mfu:.1%}")
    with findings.part(f"profile {params} compile={how}"):
        assert ours.trace is not None
        seen = kernels(ours.trace)
        for name, milliseconds in largest_gaps(seen, SEEN, flops / peak):
            findings.row("largest gaps", N=params, compile=how, gap=name, ms_a_step=f"{milliseconds:.3f}")
        findings.fact(f"attention kernels, {params} compile={how}", ", ".join(attention_kernels(seen)) or "none seen")
        if params in ("1M", "350M") and how == "true" and not findings.dry:
            ours.trace.export_chrome_trace(str(traces / f"steps-{params}.trace.json.gz"))


def ahead(findings: Findings, params: str, how: str) -> None:
    """Compile a size as `timed` will, so that its kernels lie in the cache."""
    batch = 4 if findings.dry else SIZES[params][0]
    precision = "fp32" if findings.dry else "bf16"
    overrides = [f"train.precision={precision}", f"train.compile={how}"]
    plan = text_plan(DRY[params] if findings.dry else params, dry=findings.dry, batch=batch, overrides=overrides)
    engine = TorchEngine(plan.context, on_gpu=not findings.dry)
    HandWritten(engine, trunk_of(plan), 1).train(1, lambda done: None)
    engine.train(trunk_of(plan, 1), None)
    del engine
    if not findings.dry:
        torch.cuda.empty_cache()


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Time the sizes that are named."""
    sys.setrecursionlimit(10_000)
    if words[0] == "--ahead":
        for params in sorted(
            words[1:], key=lambda size: -len(size)
        ):  # the large ones take longest, and are wanted last
            for how in ("true", "graphs"):
                if how in SIZES[params][-1]:
                    with findings.part(f"ahead {params} compile={how}"):
                        ahead(findings, params, how)
        return
    for params in words:
        recipes = SIZES[params][-1]
        for how in recipes[:1] if findings.dry and params in ("125M", "350M") else recipes:
            with findings.part(f"{params} compile={how}"):
                timed(findings, params, how, traces)


if __name__ == "__main__":
    step(run, __doc__)
