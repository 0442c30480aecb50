"""What the machine is, what it lacks, and the two ceilings that all else is measured by."""

from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
import time
from pathlib import Path

import torch
from findings import Findings, step

#: What the project imports, by the names of modules.
NEEDED = (
    *("ray", "torch", "torchvision", "numpy", "scipy", "sklearn", "pyarrow", "pandas", "duckdb", "pydantic"),
    *("pydantic_core", "yaml", "typer", "rich", "matplotlib", "safetensors", "PIL", "obstore", "threadpoolctl"),
    *("jsonschema", "torchao", "pytest", "pytest_timeout"),
)
#: Dense bf16 peaks from data sheets in FLOPs a second.
PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12}


def peak_flops(device: torch.device) -> tuple[float, str]:
    """Return the device's peak in FLOPs a second and where it is from."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name()
        known = [peak for word, peak in PEAKS.items() if word in name]
        if known:
            return known[0], "data sheet, dense bf16"
    return product_flops(device), "measured, a product of two matrices"


def product_flops(device: torch.device) -> float:
    """Return the FLOPs a second of a matrix product on random data; on zeros some cards are faster."""
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (512, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / best_s(lambda: a @ b, device)


def copied_bytes_s(device: torch.device) -> float:
    """Return the bytes a second that a copy within the device reads and writes."""
    source = torch.empty((1 << 32) if device.type == "cuda" else (1 << 24), dtype=torch.uint8, device=device)
    into = torch.empty_like(source)
    return 2 * source.numel() / best_s(lambda: into.copy_(source), device)


def best_s(run: object, device: torch.device, repeats: int = 10) -> float:
    """Return the least seconds of a call."""
    times = []
    for _ in range(repeats + 3):
        wait(device)
        begun = time.perf_counter()
        run()  # type: ignore[operator]
        wait(device)
        times.append(time.perf_counter() - begun)
    return min(times[3:])


def wait(device: torch.device) -> None:
    """Wait for a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def run(findings: Findings, words: list[str], traces: Path) -> None:
    """Look around."""
    device = findings.device
    lacking = []
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except Exception as error:
            lacking.append(f"{name} ({type(error).__name__}: {error})"[:200])
    findings.check("all packages are there", not lacking, "; ".join(lacking) or f"{len(NEEDED)} of {len(NEEDED)}")
    findings.fact("python", platform.python_version())
    findings.fact("torch", f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        findings.fact(
            "card",
            f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB, {properties.multi_processor_count} SMs",
        )
        findings.fact("NCCL", ".".join(map(str, torch.cuda.nccl.version())))
    if shutil.which("nvidia-smi") and device.type == "cuda":
        asked = "driver_version,clocks.sm,clocks.mem,temperature.gpu,memory.used"
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
        findings.fact(asked, answer.stdout.strip())
    with findings.part("ceilings"):
        findings.fact("matrix product, TFLOP/s", f"{product_flops(device) / 1e12:.3g}")
        findings.fact("copy, GB/s read and written", f"{copied_bytes_s(device) / 1e9:.4g}")
    with findings.part("checkup"):
        from orchestrator.execution.doctor import checkup

        for found in checkup(None, None):
            findings.check(f"doctor: {found['check']}", found["ok"], found["found"])


if __name__ == "__main__":
    step(run, __doc__)
