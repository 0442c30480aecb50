"""What runs a model: torch as it is, torch.compile, or an AOTInductor package; each falls back with a sentence."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

Run = Callable[[torch.Tensor], torch.Tensor]


def prepared(module: torch.nn.Module, x: torch.Tensor, backend: str) -> tuple[Run, str, str | None]:
    """Return what runs a module on inputs like ``x``, the backend that it is, and why it isn't the one asked for.

    Parameters
    ----------
    backend
        ``eager``, ``compile`` or ``export``.
    """
    if backend == "eager":
        return module, "eager", None
    try:
        with torch.inference_mode():
            run = _compiled(module) if backend == "compile" else _exported(module, x)
            run(x)
    except Exception as failure:  # compilers fail in as many ways as there are models
        reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        return module, "eager", f"backend {backend} failed, eager was timed: {reason[:200]}"
    return run, backend, None


def _compiled(module: torch.nn.Module) -> Run:
    compiled: Run = torch.compile(module, dynamic=False)
    return compiled


def _exported(module: torch.nn.Module, x: torch.Tensor) -> Run:
    """Compile ahead of time to a package, and load that."""
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    program = torch.export.export(module, (x,))
    with tempfile.TemporaryDirectory() as folder:
        package = aoti_compile_and_package(program, package_path=str(Path(folder, "model.pt2")))
        loaded: Run = aoti_load_package(package)
    return loaded
