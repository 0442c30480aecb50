"""Rows that count for less where they are noisy, and what a bootstrap replica may be made of."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.errors import BadInput
from orchestrator.fitting import fit
from orchestrator.fitting.noise import noise_power, seed_noise
from orchestrator.fitting.sample import centred

LAWS = ["product", "product_floor"]


def table(rng, noise_of, *, sizes=6, seeds=3, offset=None):
    """Return a product law over a grid of n and d, with noise by row and an offset by size."""
    n = np.repeat(np.geomspace(1e5, 1e8, sizes), 5 * seeds)
    d = np.tile(np.repeat(np.geomspace(1e7, 1e9, 5), seeds), sizes)
    cost = np.log(n * d)
    noise = noise_of(cost - cost.mean(), np.arange(n.size))
    log_loss = 3 - 0.08 * np.log(n) - 0.05 * np.log(d) + noise * rng.normal(size=n.size)
    if offset is not None:
        log_loss += np.repeat(offset, 5 * seeds)
    return pa.table({"n": n, "d": d, "loss": np.exp(log_loss)})


def alphas(noise_of, noise, tries, **shape):
    """Return the fitted α of many simulated tables."""
    found = []
    for seed in range(tries):
        report = fit(
            table(np.random.default_rng(seed), noise_of, **shape),
            laws=["product"],
            hold_out=None,
            bootstrap=0,
            noise=noise,
        )
        found.append(report.fits["product"].params["alpha"].value)
    return np.array(found)


@pytest.mark.parametrize("law", LAWS)
def test_the_noise_s_power_of_the_cost_is_told_from_the_residuals(law):
    rows = table(np.random.default_rng(1), lambda cost, _: 0.02 * np.exp(-0.3 * cost), sizes=8, seeds=8)
    report = fit(rows, laws=[law], hold_out=None, bootstrap=0, noise="heteroscedastic")
    assert report.fits[law].noise_power == pytest.approx(-0.3, abs=0.05)
    assert fit(rows, laws=[law], hold_out=None, bootstrap=0).fits[law].noise_power == 0.0


def test_weights_along_the_cost_halve_the_error_of_an_exponent():
    def noise(cost, _):
        return 0.02 * np.exp(-0.5 * cost)

    plain, weighted = (alphas(noise, model, 40) for model in ("equal", "heteroscedastic"))
    assert np.sqrt(np.mean((weighted - 0.08) ** 2)) < 0.5 * np.sqrt(np.mean((plain - 0.08) ** 2))
    assert weighted.mean() == pytest.approx(0.08, abs=2e-3)


def test_weights_by_the_spread_of_seeds_shrink_the_error_of_an_exponent():
    def noise(_, row):
        return np.where((row // 8) % 3 == 0, 0.2, 0.01)  # every third point is twenty times as noisy

    plain, weighted = (alphas(noise, model, 40, seeds=8) for model in ("equal", "seeds"))
    assert np.sqrt(np.mean((weighted - 0.08) ** 2)) < 0.5 * np.sqrt(np.mean((plain - 0.08) ** 2))


def test_a_point_s_own_spread_is_drawn_toward_the_pooled_one():
    rng = np.random.default_rng(0)
    n = np.repeat([1e5, 1e6, 1e7], [2, 2, 1])
    log_loss = np.array([0.0, 0.2, 0.0, 0.002, 0.0]) + rng.normal() * 0
    noise = seed_noise(centred({"n": n}, np.exp(log_loss))[0])
    assert noise[0] == noise[1] > noise[4] > noise[2] == noise[3]
    pooled = (0.1**2 * 2 + 0.001**2 * 2) / 2
    assert noise[4] == pytest.approx(np.sqrt(pooled))
    assert noise[0] == pytest.approx(np.sqrt((4 * pooled + 0.1**2 * 2) / 5))


def test_without_seeds_rows_count_alike_and_the_report_says_so():
    rows = table(np.random.default_rng(0), lambda cost, _: 0.01, seeds=1)
    report = fit(rows, laws=LAWS, bootstrap=20, noise="seeds")
    assert any("no point of the axes has several seeds" in warning for warning in report.warnings)
    plain = fit(rows, laws=LAWS, bootstrap=20)
    assert [f.params for f in report.fits.values()] == [f.params for f in plain.fits.values()]


def test_few_rows_tell_no_power():
    assert noise_power({"n": np.linspace(-1, 1, 7)}, np.linspace(0.1, 1.0, 7), parameters=2) == 0.0
    assert noise_power({"n": np.zeros(20)}, np.linspace(0.1, 1.0, 20), parameters=2) == 0.0


def test_an_interval_follows_the_noise_of_its_place():
    rows = table(np.random.default_rng(1), lambda cost, _: 0.02 * np.exp(-0.3 * cost), sizes=8, seeds=8)
    places = pa.table({"n": [1e5, 1e8], "d": [1e7, 1e9]})
    widths = {}
    for noise in ("equal", "heteroscedastic"):
        lo, hi = fit(rows, laws=["product"], bootstrap=200, noise=noise).predict_interval(places)
        widths[noise] = np.log(hi / lo)
    cost = np.log(np.array([1e12, 1e17])) - np.log(np.sqrt(1e12 * 1e17))
    truth = 2 * 1.645 * 0.02 * np.exp(-0.3 * cost)
    assert widths["heteroscedastic"] == pytest.approx(truth, rel=0.25)
    assert widths["equal"][0] < 0.7 * truth[0]


@pytest.mark.parametrize("law", LAWS)
def test_drawn_residuals_give_the_intervals_of_drawn_rows_where_the_noise_is_alike(law):
    rows = table(np.random.default_rng(3), lambda cost, _: 0.02, seeds=4)
    case, residual = (
        fit(rows, laws=[law], hold_out=None, bootstrap=600, resample=how).fits[law].params
        for how in ("case", "residual")
    )
    for name in ("alpha", "beta"):
        assert residual[name].value == case[name].value
        assert residual[name].hi - residual[name].lo == pytest.approx(case[name].hi - case[name].lo, rel=0.2)


def test_drawn_residuals_of_a_wide_grid_cover_the_exponents():
    inside = 0
    for seed in range(100):
        rows = table(np.random.default_rng(seed), lambda cost, _: 0.02, seeds=1)
        alpha = (
            fit(rows, laws=["product"], hold_out=None, bootstrap=300, resample="residual")
            .fits["product"]
            .params["alpha"]
        )
        inside += alpha.lo <= 0.08 <= alpha.hi
    assert 82 <= inside <= 97


def test_sizes_with_an_error_of_their_own_are_drawn_together_without_being_asked():
    covered = {"residual": 0, "case": 0, "cluster": 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = table(rng, lambda cost, _: 0.005, sizes=12, seeds=1, offset=rng.normal(scale=0.03, size=12))
        for how in covered:
            alpha = (
                fit(rows, laws=["product"], hold_out=None, bootstrap=300, resample=how).fits["product"].params["alpha"]
            )
            covered[how] += alpha.lo <= 0.08 <= alpha.hi
    assert covered["cluster"] >= 46
    assert covered["case"] >= 46  # found, though nobody named the sizes
    assert covered["residual"] <= 40


def test_few_sizes_give_no_cluster_intervals_and_say_so():
    rows = table(np.random.default_rng(0), lambda cost, _: 0.01, sizes=4)
    found = fit(rows, laws=["product"], bootstrap=50, resample="cluster").fits["product"]
    assert (found.params["alpha"].lo, len(found.draws)) == (None, 0)
    assert any("need at least 5 sizes, these rows have 4" in warning for warning in found.warnings)


@pytest.mark.parametrize("wrong", [{"noise": "loud"}, {"resample": "rows"}])
def test_an_unknown_word_is_refused_with_those_known(wrong):
    with pytest.raises(BadInput, match=r"expected one of (equal, seeds|case, residual)"):
        fit(table(np.random.default_rng(0), lambda cost, _: 0.01), **wrong)


def test_the_condition_number_tells_an_ill_conditioned_grid():
    rng = np.random.default_rng(0)
    wide = fit(table(rng, lambda cost, _: 0.005), laws=["product"], bootstrap=0).fits["product"].identifiability
    n = np.geomspace(1e5, 1e8, 40)
    d = 20 * n * np.exp(0.01 * rng.normal(size=40))
    narrow = pa.table({"n": n, "d": d, "loss": n**-0.08 * d**-0.05 * np.exp(0.005 * rng.normal(size=40))})
    flat = fit(narrow, laws=["product"], bootstrap=0).fits["product"].identifiability
    assert wide.condition_number < 5
    assert wide.flat == []
    assert flat.condition_number > 100
    (direction,) = flat.flat
    assert direction["alpha"] == pytest.approx(-direction["beta"], abs=0.05)


def test_effects_that_cancel_are_a_flat_direction():
    n = np.geomspace(1e5, 1e8, 30)
    level = pa.table({"n": n, "d": np.tile([1e7, 1e8, 1e9], 10), "loss": 2 + 300 * n**-0.4})
    found = fit(level, laws=["chinchilla"], bootstrap=0).fits["chinchilla"]
    assert found.identifiability.condition_number > 1e6
    (direction,) = found.identifiability.flat
    assert set(direction) == {"E", "B"}
    assert found.params["E"].value is None
