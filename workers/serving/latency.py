"""How fast a model answers: latency after warm-up, throughput, peak memory; on one worker's own threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from workers.serving.backends import prepared
from workers.serving.peak_memory import peak_bytes
from workers.serving.timing import timed

#: Batches that are timed, and the suffix of their columns.
BATCHES = {1: "", 32: "_b32"}
#: Ratio of two latencies below which they are taken for equal.
NOISE = 1.1


def measured(
    module: torch.nn.Module, some: Callable[[int], torch.Tensor], backend: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the columns ``latency_*_s``, ``throughput_per_s`` (examples), ``peak_memory_bytes`` and ``backend``.

    Memory is that of the largest batch.

    Parameters
    ----------
    module
        In evaluation mode.
    some
        Returns a batch of inputs of a given size, on the module's device.
    backend
        What is asked for; what has run stands in the answer, and why another one in the sentences beside it.
    """
    found: dict[str, Any] = {}
    warnings: list[str] = []
    used = backend
    for batch, suffix in BATCHES.items():
        x = some(batch)
        ready = prepared(module, x, used)
        used = ready.backend
        warnings += [sentence for sentence in ready.warnings if sentence not in warnings]
        seconds = timed(lambda ready=ready, x=x: ready.run(x), x.device)  # type: ignore[misc]
        found[f"latency_p50_s{suffix}"] = float(np.quantile(seconds, 0.5))
        found[f"latency_p95_s{suffix}"] = float(np.quantile(seconds, 0.95))
        found[f"throughput_per_s{suffix}"] = batch / found[f"latency_p50_s{suffix}"]
    found["peak_memory_bytes"] = peak_bytes(ready.module, x)
    found["backend"] = used
    return found, warnings


def slower(times: Mapping[str, Any], reference: Mapping[str, float]) -> list[str]:
    """Return a sentence where a compressed model is slower at batch 1 than the one it was made from."""
    now, before = times.get("latency_p50_s"), reference.get("latency_p50_s")
    if now is None or before is None or now <= NOISE * before:
        return []
    return [f"slower than uncompressed: {now / before:.2f} times its latency at batch 1 on backend {times['backend']}"]
