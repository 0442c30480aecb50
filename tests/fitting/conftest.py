"""Tables that several fitting tests start from, made from laws whose parameters are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def _grid(**levels: list[float]) -> dict[str, np.ndarray]:
    mesh = np.meshgrid(*levels.values(), indexing="ij")
    return {name: values.ravel() for name, values in zip(levels, mesh, strict=True)}


@pytest.fixture(scope="session")
def grid() -> Callable[..., dict[str, np.ndarray]]:
    """Every combination of the levels of each axis."""
    return _grid


@pytest.fixture(scope="session")
def chinchilla_table() -> Callable[..., pa.Table]:
    """A 6 x 6 table of L = 1.7 + 400/N^.34 + 900/D^.36 with log-normal noise."""

    def make(noise: float = 0.003, seed: int = 0, sides: int = 6) -> pa.Table:
        axes = _grid(n=list(np.geomspace(1e7, 1e10, sides)), d=list(np.geomspace(1e8, 1e11, sides)))
        loss = 1.7 + 400 / axes["n"] ** 0.34 + 900 / axes["d"] ** 0.36
        scatter = np.random.default_rng(seed).normal(0, noise, loss.size) if noise else np.zeros(loss.size)
        return pa.table({**axes, "loss": loss * np.exp(scatter)})

    return make


@pytest.fixture(scope="session")
def chinchilla_points() -> dict[str, np.ndarray]:
    """The 240 points of Besiroglu et al. (2024): 245 without the five largest losses."""
    path = SHARED / "chinchilla_epoch" / "points.csv"
    if not path.exists():
        pytest.skip("the published Chinchilla points are not beside this checkout; they have no licence to copy them")
    table = pyarrow.csv.read_csv(path)
    n, flops, loss = (np.asarray(table[c], dtype=float) for c in ("Model Size", "Training FLOP", "loss"))
    kept = np.sort(np.argsort(loss)[:-5])
    return {"n": n[kept], "d": (flops / (6 * n))[kept], "loss": loss[kept]}


@pytest.fixture(scope="session")
def data_constrained_tables() -> tuple[pa.Table, pa.Table]:
    """Training and test runs of Muennighoff et al. (2023), as ScaleBench publishes them."""
    folder = SHARED / "scalebench"
    if not folder.exists():
        pytest.skip("the ScaleBench tables are not beside this checkout")
    train, test = (pa.parquet.read_table(folder / f"data_constrained_{part}.parquet") for part in ("train", "test"))
    return train, test
