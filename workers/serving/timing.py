"""How long a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

#: Runs that count for nothing, and runs at least and at most that do.
WARM_UP, LEAST, MOST = 3, 10, 100
#: Seconds after which, once there are ``LEAST`` runs, no more are timed.
ENOUGH_S = 0.1


def timed(run: Callable[[], object], device: torch.device) -> np.ndarray:
    """Return the seconds of several runs, after warm-up, each waited for."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    seconds: list[float] = []
    with torch.inference_mode():
        for _ in range(WARM_UP):
            run()
        wait()
        begun = time.perf_counter()
        while len(seconds) < LEAST or (time.perf_counter() - begun < ENOUGH_S and len(seconds) < MOST):
            start = time.perf_counter()
            run()
            wait()
            seconds.append(time.perf_counter() - start)
    return np.array(seconds)
