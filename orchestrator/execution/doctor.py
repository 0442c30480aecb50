"""What works on this machine, tried for real."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from orchestrator.execution.cluster.address import knock
from orchestrator.execution.cluster.ray_needs import SHARED_MEMORY, check_token, free_bytes, is_too_long, ray_folder

#: The dashboard's, and that of the agent of a node.
USUAL_PORTS = (8265, 52365)


def checkup(store: str | None, address: str | None) -> list[dict[str, Any]]:
    """Return one finding a check: ``{"check", "ok", "found", "mend"}``."""
    checks: list[tuple[str, Callable[[], str], str]] = [
        ("python", _python, "use Python 3.11 or newer"),
        ("torch", _torch, "pip install -e . -c constraints.txt (a CPU-only torch from elsewhere breaks torchvision)"),
        ("devices", _devices, "GPUs need a driver that matches torch.version.cuda; CPUs work as they are"),
        ("data", _data, "the standard library's .py files are needed by source python-stdlib"),
        ("ray's folder", _ray_folder, "set RAY_TMPDIR to a folder that can be written and has room"),
        ("token", _token, "set RAY_AUTH_TOKEN_PATH to a file that holds a token"),
        ("shared memory", _shared_memory, "mount more of it: docker run --shm-size=1g"),
        ("ports", _ports, "let processes listen on 127.0.0.1"),
        (
            "ray",
            lambda: _ray(address),
            "check the address and the token (RAY_AUTH_TOKEN_PATH), or leave `address` out",
        ),
    ]
    if os.environ.get("RAY_ADDRESS"):
        checks.append(("RAY_ADDRESS", _ray_address, "unset it: it is of a cluster that is gone"))
    if store is not None:
        checks.append(("store", lambda: _store(store), "name a folder that can be written, or check the credentials"))
    return [_finding(*check) for check in checks]


def _finding(name: str, check: Callable[[], str], mend: str) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "found": check(), "mend": ""}
    except Exception as failure:  # whatever it is, it is what was to be found out
        first = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        return {"check": name, "ok": False, "found": first, "mend": mend}


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


def _ray_folder() -> str:
    folder = ray_folder()
    free = free_bytes(folder)
    short = ", too long for sockets: used under a short name" if is_too_long(folder) else ""
    return f"{folder}: {free / 1e9:,.1f} GB free{short}"


def _token() -> str:
    check_token()
    return "there, or Ray can make one"


def _shared_memory() -> str:
    from orchestrator.execution.cluster.connect import OBJECT_STORE_BYTES

    if not SHARED_MEMORY.is_dir():
        return f"this system has none: states between workers lie in {ray_folder()}"
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < OBJECT_STORE_BYTES:
        return (
            f"{free / 1e6:,.0f} MB, less than the {OBJECT_STORE_BYTES / 1e6:,.0f} MB of Ray's object store: it lies in "
            f"{ray_folder()} instead and is slower (docker run --shm-size=1g)"
        )
    return f"{free / 1e9:,.1f} GB free"


def _ports() -> str:
    taken = []
    for port in (0, *USUAL_PORTS):
        try:
            with socket.socket() as listening:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(("127.0.0.1", port))
        except OSError:
            if not port:
                raise
            taken.append(str(port))
    return f"{', '.join(taken)} taken, Ray takes others" if taken else "free"


def _ray_address() -> str:
    address = os.environ["RAY_ADDRESS"]
    knock(address)
    return f"{address} answers; 'scalaw run' starts a Ray of its own unless an address is given"


def _ray(address: str | None) -> str:
    import ray

    from orchestrator.execution.cluster.connect import connected

    with connected(address, cpus=1, dashboard=False):
        answer = ray.get(ray.remote(num_cpus=0)(platform.python_version).remote(), timeout=60)
        return f"ray {version('ray')} on Python {answer}, resources {ray.cluster_resources().get('CPU', 0):g} CPUs"


def _store(uri: str) -> str:
    from orchestrator.store import open_store

    store = open_store(uri, create=True)
    new = not store.blobs.children()
    store.probe()
    return f"{uri}: {'nothing there yet' if new else f'{len(store.done())} cells'}, written and read back"
