"""Fits that tables and figures start from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.fitting import FitReport, fit

SIZES = [1100.0, 3300.0, 6300.0, 30_000.0, 100_000.0]
DATA = [1e5, 3e5, 1e6, 3e6]
EPOCHS = [1.0, 2.0, 4.0]


def _runs(n: list[float] = SIZES, d: list[float] = DATA, e: list[float] = EPOCHS, noise: float = 0.01) -> pa.Table:
    axes = {
        name: grid.ravel() for name, grid in zip("nde", np.meshgrid(n, d, e, indexing="ij"), strict=True) if grid.size
    }
    scatter = np.random.default_rng(0).normal(0, noise, axes["n"].size)
    loss = 60 * axes["n"] ** -0.1 * axes["d"] ** -0.09 * axes["e"] ** -0.05 * np.exp(scatter)
    return pa.table({**axes, "loss": loss})


@pytest.fixture(scope="session")
def runs() -> Callable[..., pa.Table]:
    """Every combination of n, d and e with a product law's loss (α 0.1, β 0.09, γ 0.05) and 1 % noise."""
    return _runs


@pytest.fixture(scope="session")
def report() -> FitReport:
    """The product law on all 60 runs, with intervals."""
    return fit(_runs(), laws=["product"], bootstrap=200)
