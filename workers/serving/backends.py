"""What runs a model: torch as it is, torch.compile, or an AOTInductor package; each falls back with a sentence.

Whatever runs must answer as the model does: kernels for whole numbers overflow on some CPUs, and compilers have bugs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from workers.serving.int8_serving import with_whole_numbers
from workers.serving.timing import timed

Run = Callable[[torch.Tensor], torch.Tensor]
#: Largest difference between two ways to run a model, as a share of the largest answer.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Ready:
    """A model that runs.

    Parameters
    ----------
    run
        Takes inputs, returns outputs.
    backend
        What runs it.
    module
        What holds its tensors.
    warnings
        Why it isn't what was asked for.
    """

    run: Run
    backend: str
    module: torch.nn.Module
    warnings: list[str]


def prepared(module: torch.nn.Module, x: torch.Tensor, backend: str) -> Ready:
    """Return what runs a module on inputs like ``x``; of rounded inputs and weights in integers where that pays.

    Parameters
    ----------
    backend
        ``eager``, ``compile`` or ``export``.
    """
    whole, why = with_whole_numbers(module)
    said = [why] if why else []
    if whole is module and backend == "eager":
        return Ready(module, backend, module, said)
    with torch.inference_mode():
        expected = module(x)
        floats, failures = _ready(module, x, backend, expected)
        floats = floats or Ready(module, "eager", module, failures)
        if whole is not module:
            integers, failures = _ready(whole, x, backend, expected)
            said += [f"floats stood for the whole numbers: {failure}" for failure in failures]
            if integers is not None:
                ratio = _median_s(integers, x) / _median_s(floats, x)
                if ratio <= 1:
                    return integers
                took = f"integers take {ratio:.1f} times as long as floats here at batch {len(x)}"
                said.append(f"{took}, so floats stood for the whole numbers")
    return replace(floats, warnings=[*said, *floats.warnings])


def _median_s(ready: Ready, x: torch.Tensor) -> float:
    return float(np.median(timed(lambda: ready.run(x), x.device)))


def _ready(
    module: torch.nn.Module, x: torch.Tensor, backend: str, expected: torch.Tensor
) -> tuple[Ready | None, list[str]]:
    """Return the module on a backend, or eager where that fails, or nothing; and what failed."""
    largest = expected.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    failures: list[tuple[str, str]] = []
    for used in dict.fromkeys((backend, "eager")):
        try:
            run = _with_backend(module, x, used)
            apart = float((run(x) - expected).abs().max() / largest)
        except Exception as failure:  # compilers fail in as many ways as there are models
            reason = (str(failure).strip() or type(failure).__name__).splitlines()[0][:200]
        else:
            if apart <= TOLERANCE:
                return Ready(run, used, module, [f"backend {b} failed, {used} was timed: {r}" for b, r in failures]), []
            reason = f"its answers are off by {apart:.1%} of the largest"
        failures.append((used, reason))
    return None, [f"backend {b} failed: {r}" for b, r in failures]


def _with_backend(module: torch.nn.Module, x: torch.Tensor, backend: str) -> Run:
    if backend == "eager":
        return module
    return _compiled(module) if backend == "compile" else _exported(module, x)


def _compiled(module: torch.nn.Module) -> Run:
    compiled: Run = torch.compile(module, dynamic=False)
    return compiled


def _exported(module: torch.nn.Module, x: torch.Tensor) -> Run:
    """Compile ahead of time to a package, and load that."""
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(False), torch.no_grad():
        program = torch.export.export(module, (x,))
        package = aoti_compile_and_package(program, package_path=str(Path(folder, "model.pt2")))
        loaded: Run = aoti_load_package(package)
    return loaded
