"""What works on this machine, tried for real."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from orchestrator.errors import ScalawError


def checkup(store: str | None, address: str | None) -> list[dict[str, Any]]:
    """Return one finding a check: ``{"check", "ok", "found", "mend"}``."""
    checks: list[tuple[str, Callable[[], str], str]] = [
        ("python", _python, "use Python 3.11 or newer"),
        ("torch", _torch, "pip install -e . -c constraints.txt (a CPU-only torch from elsewhere breaks torchvision)"),
        ("devices", _devices, "GPUs need a driver that matches torch.version.cuda; CPUs work as they are"),
        ("data", _data, "the standard library's .py files are needed by source python-stdlib"),
        (
            "ray",
            lambda: _ray(address),
            "check the address and the token (RAY_AUTH_TOKEN_PATH), or leave `address` out",
        ),
    ]
    if store is not None:
        checks.append(("store", lambda: _store(store), "name a folder that can be written, or check the credentials"))
    return [_finding(*check) for check in checks]


def _finding(name: str, check: Callable[[], str], mend: str) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "found": check(), "mend": ""}
    except (ScalawError, ImportError, OSError, RuntimeError) as failure:
        return {"check": name, "ok": False, "found": str(failure).strip().splitlines()[0], "mend": mend}


def _python() -> str:
    return f"Python {platform.python_version()}, {platform.machine()}"


def _torch() -> str:
    import torch
    import torchvision

    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    return f"torch {torch.__version__}, torchvision {torchvision.__version__}"


def _devices() -> str:
    import torch

    threads, capability = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return f"CPU {capability}, {threads} threads; GPUs: {', '.join(gpus) or 'none'}"


def _data() -> str:
    from orchestrator.spec.registries import SOURCES

    manifest = SOURCES.load("python-stdlib")().manifest({}, context=64)
    return f"python-stdlib: {manifest.train_examples:,} training windows of 64 bytes"


def _ray(address: str | None) -> str:
    import ray

    from orchestrator.execution.cluster import connected

    with connected(address, cpus=1, dashboard=False):
        answer = ray.get(ray.remote(num_cpus=0)(platform.python_version).remote(), timeout=60)
        return f"ray {version('ray')} on Python {answer}, resources {ray.cluster_resources().get('CPU', 0):g} CPUs"


def _store(uri: str) -> str:
    from orchestrator.store import open_store

    store = open_store(uri, create=True)
    new = not store.blobs.children()
    store.probe()
    return f"{uri}: {'nothing there yet' if new else f'{len(store.done())} cells'}, written and read back"
