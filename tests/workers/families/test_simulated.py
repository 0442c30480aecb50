from __future__ import annotations

import math

import numpy as np
import pytest

from orchestrator.spec.registries import SOURCES
from workers.families.simulated.law import simulated_loss
from workers.families.simulated.plan import Simulated

DATA = SOURCES.load("simulated")().manifest({"examples": 1_000_000}, context=64)


def test_sizes_are_exactly_as_asked() -> None:
    shape = Simulated.shape_for(12_345, {}, DATA)
    assert (shape.params_total, shape.params_non_embedding) == (12_345, 12_345)
    assert (shape.forward_flops, shape.train_flops) == (2 * 12_345, 6 * 12_345)


def test_without_noise_the_loss_is_the_law() -> None:
    options = {"noise": 0.0, "alpha": 0.5, "beta": 0.25, "gamma": 0.1, "delta": 0.2, "zeta": 0.3, "eta": 0.4, "C": 80}
    loss = simulated_loss(options, 1e4, 1e8, 4, seed=0, cell_id="a", ft_d=32, ft_e=2, eps=0.25)
    power = 80 * 1e4**-0.5 * 1e8**-0.25 * 4**-0.1 * 32**-0.2 * 2**-0.3 * 0.25**-0.4
    assert loss == pytest.approx(1.5 + power, rel=1e-12)


def test_absent_axes_and_no_compression_leave_the_loss_alone() -> None:
    one = simulated_loss({"delta": 0.5, "eta": 0.5}, 1e4, 1e6, 2, seed=0, cell_id="a")
    assert one == simulated_loss({}, 1e4, 1e6, 2, seed=0, cell_id="a", ft_d=None, ft_e=None, eps=1.0)


def test_noise_belongs_to_the_cell_and_the_seed() -> None:
    def loss(seed: int, cell: str) -> float:
        return simulated_loss({}, 1e4, 1e6, 2, seed=seed, cell_id=cell)

    assert loss(0, "a") == loss(0, "a")
    assert len({loss(0, "a"), loss(0, "b"), loss(1, "a")}) == 3


def test_noise_is_log_normal_with_the_width_asked_for() -> None:
    clean = simulated_loss({"noise": 0.0}, 1e4, 1e6, 2, seed=0, cell_id="")
    z = [
        math.log(simulated_loss({"noise": 0.05}, 1e4, 1e6, 2, seed=0, cell_id=str(i)) / clean) / 0.05
        for i in range(2_000)
    ]
    assert abs(np.mean(z)) < 0.08
    assert np.std(z) == pytest.approx(1, abs=0.06)
