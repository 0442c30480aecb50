"""Where the time of a step goes, by the kernels that a profiler saw: what is not at the peak is a gap."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

#: Kinds of kernels by words in their names, the first that fits; on the CPU operators stand for kernels.
KINDS = {
    "attention": ("flash", "fmha", "attention", "sdpa", "cudnn_generated_fort"),
    "matrix products": ("gemm", "cutlass", "cublas", "nvjet", "xmma", "aten::mm", "aten::addmm", "aten::bmm", "sm90_"),
    "optimizer": ("multi_tensor", "foreach", "adam", "norm_kernel_lp"),
    "copies": ("memcpy", "memset", "copy_"),
    "loss": ("softmax", "nll_loss"),
}
REST = "norms, activations, casts"


def kind_of(name: str) -> str:
    """Return the kind of a kernel."""
    lower = name.lower()
    return next((kind for kind, words in KINDS.items() if any(word in lower for word in words)), REST)


def kernels(trace: torch.profiler.profile) -> list[tuple[str, float, float]]:
    """Return name, begin and end in microseconds of what ran on the device; without one, of operators."""
    events: list[Any] = list(trace.events())
    on_device = [event for event in events if event.device_type != torch.autograd.DeviceType.CPU]
    if not on_device:
        on_device = [event for event in events if event.name.startswith("aten::") and not event.cpu_children]
    return [(event.name, event.time_range.start, event.time_range.end) for event in on_device]


def largest_gaps(found: list[tuple[str, float, float]], steps: int, floor_s: float) -> list[tuple[str, float]]:
    """Return the three largest gaps of a step in milliseconds, the largest first.

    Parameters
    ----------
    found
        From `kernels`, over so many steps.
    floor_s
        Seconds that a step's FLOPs take at the peak; what matrix products and attention take above it is one gap.
    """
    found = [each for each in found if not each[0].startswith(("ProfilerStep", "Optimizer", "## "))]
    by_kind: Counter[str] = Counter()
    for name, begin, end in found:
        by_kind[kind_of(name)] += (end - begin) / 1e3 / steps
    busy, last = 0.0, float("-inf")
    for _, begin, end in sorted(found, key=lambda each: each[1]):
        busy += max(0.0, end - max(begin, last)) / 1e3 / steps
        last = max(last, end)
    span = (max(end for *_, end in found) - min(begin for _, begin, _ in found)) / 1e3 / steps
    products = by_kind.pop("matrix products", 0.0) + by_kind.pop("attention", 0.0)
    gaps = {
        "matrix products and attention below the peak": max(0.0, products - 1e3 * floor_s),
        "the device waits for the host": max(0.0, span - busy),
        **by_kind,
    }
    return sorted(gaps.items(), key=lambda gap: -gap[1])[:3]


def attention_kernels(found: list[tuple[str, float, float]]) -> list[str]:
    """Return the names of the attention kernels that ran, shortened."""
    return sorted({name[:60] for name, *_ in found if kind_of(name) == "attention"})
