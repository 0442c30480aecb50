"""Which rows are held out, and what their error is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.fitting import fit
from orchestrator.fitting.validation import held_out_rows


def test_largest_takes_the_rows_of_the_largest_size_and_of_the_most_data(grid):
    axes = grid(n=[1.0, 2.0, 4.0], d=[10.0, 20.0, 30.0])
    mask = held_out_rows(axes, "largest")
    np.testing.assert_array_equal(mask, (axes["n"] == 4) | (axes["d"] == 30))


def test_largest_leaves_a_constant_axis_alone(grid):
    axes = grid(n=[5.0], d=[10.0, 20.0, 30.0])
    np.testing.assert_array_equal(held_out_rows(axes, "largest"), axes["d"] == 30)
    assert held_out_rows({"n": np.ones(3)}, "largest") is None


def test_largest_of_a_cloud_is_the_dearest_fifth():
    rng = np.random.default_rng(0)
    axes = {"n": rng.uniform(1, 2, 50), "d": rng.uniform(1, 2, 50)}
    mask = held_out_rows(axes, "largest")
    cost = axes["n"] * axes["d"]
    assert mask.sum() == 10
    assert cost[mask].min() > cost[~mask].max()


def test_twelve_distinct_values_are_still_a_grid(grid):
    axes = grid(n=list(np.arange(1.0, 13.0)), d=list(np.arange(1.0, 13.0)))
    assert held_out_rows(axes, "largest").sum() == 23


@pytest.mark.parametrize("share", [0.25, "0.25"])
def test_a_share_is_the_dearest_by_size_data_and_epochs(grid, share):
    axes = grid(n=[1.0, 3.0], d=[1.0, 10.0], e=[1.0, 100.0])
    mask = held_out_rows(axes, share)
    cost = axes["n"] * axes["d"] * axes["e"]
    assert mask.sum() == 2
    assert set(cost[mask]) == {1000.0, 3000.0}


def test_data_seen_in_total_is_not_multiplied_by_epochs():
    axes = {"n": np.ones(3), "d": np.array([1.0, 9.0, 3.0]), "unique_d": np.ones(3), "e": np.array([1.0, 9.0, 3.0])}
    np.testing.assert_array_equal(held_out_rows(axes, 0.34), [False, True, False])


@pytest.mark.parametrize("none", [None, "none"])
def test_nothing_held_out_gives_no_error_and_no_warning(chinchilla_table, none):
    found = fit(chinchilla_table(), laws=["chinchilla"], hold_out=none, bootstrap=0).best
    assert found.held_out_rmse_log is None
    assert found.warnings == []


def test_the_error_is_that_of_a_fit_which_never_saw_the_rows(chinchilla_table):
    table = chinchilla_table(noise=0.01)
    found = fit(table, laws=["product"], bootstrap=0).best
    mask = held_out_rows({k: np.asarray(table[k]) for k in ("n", "d")}, "largest")
    blind = fit(table.filter(pa.array(~mask)), laws=["product"], hold_out=None, bootstrap=0).best
    test = table.filter(pa.array(mask))
    errors = np.log(blind.predict(test)) - np.log(np.asarray(test["loss"]))
    assert found.held_out_rmse_log == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert found.n_rows == 36


def test_too_little_left_gives_no_error_and_says_what_is_missing():
    table = pa.table({"n": [1e6, 1e6, 1e7, 1e7], "d": [1e6, 1e7, 1e6, 1e7], "loss": [4.0, 3.0, 3.5, 2.5]})
    found = fit(table, laws=["product"], bootstrap=20).best
    assert found.held_out_rmse_log is None
    assert any("no held-out error" in w and "add a third value of n" in w for w in found.warnings)


def test_the_best_law_is_the_one_that_extrapolates_best(grid, chinchilla_table):
    assert fit(chinchilla_table(), bootstrap=0).best_law.law == "chinchilla"
    axes = grid(n=[1e5, 3e5, 1e6, 3e6], d=[1e6, 4e6, 1.6e7, 6.4e7])
    product = pa.table({**axes, "loss": 20 * axes["n"] ** -0.1 * axes["d"] ** -0.08})
    assert fit(product, bootstrap=0).best_law.law == "product"


def test_without_held_out_errors_best_pays_for_parameters(grid):
    axes = grid(n=[1e5, 3e5, 1e6, 3e6], d=[1e6, 4e6, 1.6e7, 6.4e7])
    loss = 20 * axes["n"] ** -0.1 * axes["d"] ** -0.08 * np.exp(np.random.default_rng(0).normal(0, 0.02, 16))
    assert fit(pa.table({**axes, "loss": loss}), hold_out=None, bootstrap=0).best_law.law == "product"


def test_unique_data_and_epochs_or_totals_give_one_law(grid):
    axes = grid(n=[1e5, 1e6, 1e7], d=[1e6, 1e7, 1e8], e=[1.0, 4.0, 16.0])
    seen = axes["d"] * axes["e"]
    loss = 1.5 + 100 / axes["n"] ** 0.3 + 300 / seen**0.3
    with_epochs = fit(pa.table({**axes, "loss": loss}), laws=["chinchilla", "product"], hold_out=None, bootstrap=0)
    totals = {"n": axes["n"], "d": seen, "unique_d": axes["d"], "loss": loss}
    with_totals = fit(pa.table(totals), laws=["chinchilla", "product"], hold_out=None, bootstrap=0)
    for law in ("chinchilla", "product"):
        assert with_epochs.fits[law].params == with_totals.fits[law].params
    assert with_epochs.fits["chinchilla"].params["beta"].value == pytest.approx(0.3)
    plain = with_epochs.fits["chinchilla"].predict(pa.table({"n": [1e6], "d": [8e6]}))
    repeated = with_epochs.fits["chinchilla"].predict(pa.table({"n": [1e6], "d": [2e6], "e": [4.0]}))
    assert plain == pytest.approx(repeated)
