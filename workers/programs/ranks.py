"""What each rank of a gang is told of the others, as under torchrun."""

from __future__ import annotations

import os
import subprocess


def rank_environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    """Return the variables by which ranks find together; those of one cell are on one node."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def devices(*, on_gpu: bool, world_size: int) -> list[str]:
    """Return the devices of a task: of each rank its own, or all that one process has."""
    if not on_gpu:
        return ["cpu"] * world_size
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
    return ["cuda:0"] * world_size if world_size > 1 else [f"cuda:{k}" for k in range(len(seen))]


def gpu_name() -> str:
    """Return the name of the first GPU that this process sees, without a context on it."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    command = ["nvidia-smi", "-i", first, "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "cuda"
    return found.splitlines()[0] if found else "cuda"
