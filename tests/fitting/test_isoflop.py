"""Parabolas through IsoFLOP profiles: right where they should be, biased where that is known, and never made up."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.fitting import fit
from orchestrator.fitting.check import check_table
from orchestrator.fitting.frontier.budget import Budget
from orchestrator.fitting.frontier.isoflop import extrapolated, parabola_minimum, profiles
from orchestrator.fitting.frontier.optimum import optimum

A, B = 4000.0, 900.0


def best_n(nde: float, alpha: float, beta: float) -> float:
    return (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * nde ** (beta / (alpha + beta))


def noise_free(alpha: float, beta: float, *, centre: float = 0.0, half: float = 1.2) -> pa.Table:
    """Nine sizes around the optimum of six budgets, shifted and spread in log N."""
    rows = []
    for nde in np.geomspace(1e17, 1e20, 6):
        sizes = best_n(nde, alpha, beta) * np.exp(np.linspace(centre - half, centre + half, 9))
        rows += [{"n": n, "d": nde / n, "loss": 1.7 + A / n**alpha + B / (nde / n) ** beta} for n in sizes]
    return pa.Table.from_pylist(rows)


def columns(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: np.asarray(table[name]) for name in ("n", "d", "loss")}


def test_a_narrow_centred_grid_of_equal_exponents_gives_the_optimum():
    table = columns(noise_free(0.35, 0.35, half=0.3))
    found = profiles(table, table["loss"])
    assert len(found) == 6
    for profile in found:
        assert profile.n == pytest.approx(best_n(profile.nde, 0.35, 0.35), rel=1e-3)
    assert extrapolated(found, 1e22) == pytest.approx(best_n(1e22, 0.35, 0.35), rel=2e-3)


@pytest.mark.parametrize(("centre", "half", "bias"), [(0.0, 2.3, 1.169), (0.7, 1.2, 0.989), (-0.7, 1.2, 0.980)])
def test_on_wide_and_off_centre_grids_the_parabola_is_biased_and_the_law_is_not(centre, half, bias):
    table = noise_free(0.5, 0.25, centre=centre, half=half)
    at = 1e23 / 6
    parabola = extrapolated(profiles(columns(table), np.asarray(table["loss"])), at)
    assert parabola / best_n(at, 0.5, 0.25) == pytest.approx(bias, abs=0.005)
    law = fit(table, laws=["chinchilla"], bootstrap=0).fits["chinchilla"]
    found = optimum(law, Budget(flops=1e23), check_table(table, "loss"))
    assert found.n.value == pytest.approx(best_n(at, 0.5, 0.25), rel=1e-4)


def test_rows_without_profiles_give_none(grid):
    axes = grid(n=[1e5, 3e5, 1e6], d=[1e7, 3e7])
    assert profiles(axes, np.ones(6)) == []
    assert extrapolated([], 1e20) is None


def test_a_profile_whose_least_loss_lies_off_its_sizes_or_that_bends_down_is_left_out():
    log_n = np.linspace(0, 1, 5)
    assert parabola_minimum(log_n, (log_n - 0.4) ** 2) == pytest.approx(0.4)
    assert parabola_minimum(log_n, (log_n - 3.0) ** 2) is None
    assert parabola_minimum(log_n, -((log_n - 0.4) ** 2)) is None


def test_epochs_count_as_compute():
    table = columns(noise_free(0.35, 0.35, half=0.3))
    halved = {"n": table["n"], "d": table["d"] / 2, "e": np.full(table["n"].size, 2.0)}
    assert profiles(halved, table["loss"]) == profiles(table, table["loss"])
