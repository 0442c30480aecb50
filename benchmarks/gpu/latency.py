"""Latency of a compiled transformer in bf16, int8 and fp8 (torchao), and of our own int8 serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from findings import Findings, step

from workers.families.transformer.module import ByteTransformer
from workers.serving.timing import timed

#: Few wide layers: as many FLOPs as many narrow ones, and a third of the compiler's time.
WIDE = {"vocabulary": 256, "context": 1024, "width": 2048, "depth": 3, "heads": 16}
NARROW = {"vocabulary": 64, "context": 32, "width": 64, "depth": 1, "heads": 4}


def configurations() -> dict[str, Any]:
    """Return torchao's configurations by name; ``None`` is the model as it is."""
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        Int8DynamicActivationInt8WeightConfig,
        Int8WeightOnlyConfig,
        PerRow,
    )

    return {
        "bf16": None,
        "fp8, rows scaled as they come": Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()),
        "int8, rows scaled as they come": Int8DynamicActivationInt8WeightConfig(),
        "int8 weights alone": Int8WeightOnlyConfig(),
    }


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Time each way at two batches."""
    from torchao.quantization import quantize_

    device, sizes = findings.device, NARROW if findings.dry else WIDE
    expected: dict[int, torch.Tensor] = {}
    p50: dict[tuple[str, int], float] = {}
    batches = (2, 1) if findings.dry else (32, 1)
    for batch in batches:
        tokens = torch.randint(sizes["vocabulary"], (batch, sizes["context"]), device=device)
        for name, configuration in configurations().items():
            if findings.dry and name.startswith("fp8"):
                findings.fact(name, "not on a CPU")
                continue
            with findings.part(f"{name}, batch {batch}"):
                torch.manual_seed(0)
                module = ByteTransformer(**sizes).to(device, torch.bfloat16).eval()
                if configuration is not None:
                    quantize_(module, configuration, filter_fn=_in_a_block)
                torch.compiler.reset()
                model = module if findings.dry else torch.compile(module, dynamic=False)
                seconds = timed(lambda model=model, tokens=tokens: model(tokens), device)  # type: ignore[misc]
                with torch.inference_mode():
                    answer = model(tokens).float()
                expected.setdefault(batch, answer)
                apart = float((answer - expected[batch]).norm() / expected[batch].norm())
                p50[name, batch] = float(np.quantile(seconds, 0.5))
                findings.row(
                    "latency",
                    model=name,
                    batch=batch,
                    p50_ms=f"{1e3 * p50[name, batch]:.3f}",
                    p95_ms=f"{1e3 * float(np.quantile(seconds, 0.95)):.3f}",
                    bf16_over_it=f"{p50.get(('bf16', batch), float('nan')) / p50[name, batch]:.2f}",
                    distance=f"{apart:.1e}",
                )
                findings.check(f"{name}, batch {batch}: answers as bf16 does", apart <= 0.1, f"distance {apart:.1e}")
    with findings.part("our int8 serving"):
        _ours(findings, device, sizes)


def _in_a_block(module: torch.nn.Module, name: str) -> bool:
    return isinstance(module, torch.nn.Linear) and name.startswith("blocks.")


def _ours(findings: Findings, device: torch.device, sizes: dict[str, int]) -> None:
    """Time what a row of ``{method: quantize, bits: 8, activations: int8}`` is timed by."""
    from workers.compressors.quantize.train import Quantizer
    from workers.serving.latency import measured

    torch.manual_seed(0)
    module = ByteTransformer(**sizes).to(device).eval()
    names = [name for name, parameter in module.named_parameters() if parameter.ndim == 2 and "blocks" in name]
    session = Quantizer.session(module, _Options(), _Parts(names), 0, lambda: module)  # type: ignore[arg-type]
    session.finish()

    def some(examples: int) -> torch.Tensor:
        return torch.randint(sizes["vocabulary"], (examples, sizes["context"]), device=device)

    times, warnings = measured(session.module.eval(), some, "eager")
    findings.row(
        "int8 as rows are timed",
        p50_ms=f"{1e3 * times['latency_p50_s']:.3f}",
        p50_ms_b32=f"{1e3 * times['latency_p50_s_b32']:.3f}",
        peak_MB=f"{times['peak_memory_bytes'] / 1e6:,.1f}",
        said="; ".join(warnings)[:300],
    )


class _Options:
    bits, activations = 8, "int8"


class _Parts:
    groups: tuple[()] = ()

    def __init__(self, weights: list[str]) -> None:
        self.weights = weights


if __name__ == "__main__":
    step(run, __doc__)
