"""What is set on a device before anything trains there, and how its random numbers are seeded."""

from __future__ import annotations

import contextlib
import gc
import os
import traceback
from collections.abc import Iterator

import torch


def prepared_device(*, on_gpu: bool) -> torch.device:
    """Return the device of this process, on which ``fp32`` means float32.

    torch lets cuDNN round the inputs of float32 convolutions to TF32 unless told otherwise, which costs three of their
    seven digits; rows that say ``fp32``, and all scores, would then differ from a CPU's in the third digit.

    The workspaces of cuBLAS have to be named before its first call, or deterministic algorithms refuse to multiply; the
    size is the one that torch takes by itself on Hopper.
    """
    if not on_gpu:
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    return torch.device("cuda", torch.cuda.current_device())


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and of one device.

    ``torch.manual_seed`` gives the same numbers and seeds those of all other devices and backends too, which takes the
    host longer than to launch a kernel and is paid at each step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)


@contextlib.contextmanager
def algorithms(*, deterministic: bool) -> Iterator[None]:
    """Take kernels that give the same bits each time, or leave torch its choice.

    Raises
    ------
    RuntimeError
        Within, where an operation has no such kernel.
    """
    before = torch.are_deterministic_algorithms_enabled()
    if deterministic is before:  # to set it loads torch's compiler, which takes seconds
        yield
        return
    torch.use_deterministic_algorithms(deterministic)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def give_memory_back(error: torch.OutOfMemoryError) -> None:
    """Return what a failed attempt holds to the device, for the next attempt and for others that share it.

    The frames in which it failed hold the batch, the activations and the model until the exception is gone; memory that
    is held can't be given back, so they are cleared.
    """
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    torch.cuda.empty_cache()
