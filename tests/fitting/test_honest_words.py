"""What a fit says about rows that can't carry it, and what it doesn't say about rows that can."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.errors import BadInput
from orchestrator.fitting import fit
from orchestrator.fitting.diagnostics import plateau_rows


def _says(warnings: list[str], *words: str) -> bool:
    return any(all(word in w for word in words) for w in warnings)


@pytest.fixture(scope="module")
def axes(grid):
    return grid(n=list(np.geomspace(1e5, 1e7, 5)), d=list(np.geomspace(1e6, 1e8, 4)))


def test_a_good_table_gives_no_warning(chinchilla_table):
    report = fit(chinchilla_table(), bootstrap=100)
    assert report.warnings == []
    assert (report.best.law, report.best_law.law) == ("average", "chinchilla")
    assert report.best.warnings == report.best_law.warnings == []
    assert report.best.held_out_rmse_log < 0.01


def test_constant_axis_is_left_out_of_product_and_keeps_chinchilla_away(axes):
    loss = 1.7 + 900 / axes["d"] ** 0.36
    report = fit(pa.table({"n": np.full(loss.size, 1e6), "d": axes["d"], "loss": loss}), bootstrap=20)
    assert list(report.fits["product"].params) == ["C", "beta"]
    assert _says(report.fits["product"].warnings, "n is 1e+06 in every row", "not identified")
    assert "chinchilla" not in report.fits
    assert _says(report.warnings, "chinchilla is left out", "(n) has one value", "add cells")


def test_one_epoch_everywhere_is_no_reason_to_warn(axes):
    loss = 20 * axes["n"] ** -0.1 * axes["d"] ** -0.08
    table = pa.table({**axes, "e": np.ones(loss.size), "loss": loss})
    assert fit(table, laws=["product"], bootstrap=20).best.warnings == []


def test_collinear_axes_get_no_numbers_but_still_predict(axes):
    loss = 1.7 + 400 / axes["n"] ** 0.34
    table = pa.table({"n": axes["n"], "d": 20 * axes["n"], "loss": loss})
    for law, names in (("product", ("C", "alpha", "beta")), ("chinchilla", ("A", "B", "alpha", "beta"))):
        found = fit(table, laws=[law], bootstrap=30).fits[law]
        assert all(found.params[name].value is None and found.params[name].lo is None for name in names)
        assert _says(found.warnings, "alpha", "not identified", "move together", "add cells where d changes")
        np.testing.assert_allclose(found.predict(table), loss, rtol=0.2)


def test_two_model_sizes_do_not_tell_an_exponent_from_a_floor(axes):
    n = np.where(axes["n"] < 1e6, 1e5, 1e7)
    table = pa.table({"n": n, "d": axes["d"], "loss": 1 + 30 / n**0.2 + 900 / axes["d"] ** 0.36})
    found = fit(table, laws=["chinchilla"], bootstrap=30).best
    assert found.params["alpha"].value is None
    assert found.params["beta"].value == pytest.approx(0.36, abs=1e-4)
    assert _says(found.warnings, "E, A, alpha are not identified", "add cells with a third value of n")


def test_data_constrained_without_repeated_data_is_left_out(axes):
    table = pa.table({**axes, "e": np.ones(axes["n"].size), "loss": 1.7 + 400 / axes["n"] ** 0.34})
    report = fit(table, laws=["data_constrained"])
    assert report.best is None
    assert _says(report.warnings, "no row repeats its data", "epochs above 1")


def test_explicit_law_without_its_column_says_which(axes):
    table = pa.table({"n": axes["n"], "loss": 20 * axes["n"] ** -0.1})
    report = fit(table, laws=["chinchilla", "product"], bootstrap=20)
    assert list(report.fits) == ["product"]
    assert _says(report.warnings, "chinchilla is left out", "no column d")
    assert fit(table, bootstrap=0).warnings == []


def test_accuracy_goes_to_the_laws_of_shares_and_grows(axes):
    accuracy = 0.1 * axes["n"] ** 0.06 * axes["d"] ** 0.04
    table = pa.table({**axes, "accuracy": accuracy})
    report = fit(table, target="accuracy", bootstrap=50)
    assert list(report.fits) == ["average", "product", "sigmoid"]
    assert report.fits["product"].params["alpha"].value == pytest.approx(0.06)
    np.testing.assert_allclose(report.best.predict(table), accuracy, rtol=0.01)
    noisy = accuracy * np.exp(np.random.default_rng(0).normal(0, 0.02, accuracy.size))
    lo, hi = fit(pa.table({**axes, "accuracy": noisy}), target="accuracy", bootstrap=50).best.predict_interval(table)
    assert (lo < hi).all()
    named = fit(table, target="accuracy", laws=["product", "chinchilla"], bootstrap=0)
    assert _says(named.warnings, "chinchilla is left out", "accuracy")


def test_diverged_runs_are_named_and_do_not_move_the_robust_law(chinchilla_table):
    table = chinchilla_table()
    loss = np.asarray(table["loss"]).copy()
    loss[[4, 20]] = 11.0
    found = fit(table.set_column(2, "loss", pa.array(loss)), laws=["chinchilla"], bootstrap=30).best
    assert _says(found.warnings, "2 of 36 rows", "5, 21", "diverged")
    assert found.params["alpha"].value == pytest.approx(0.34, abs=0.02)


def test_noise_above_the_signal_is_said(axes):
    loss = 2 * np.exp(np.random.default_rng(0).normal(0, 0.05, axes["n"].size))
    found = fit(pa.table({**axes, "loss": loss}), laws=["product"], bootstrap=30).best
    assert found.r2_log < 0.5
    assert _says(found.warnings, "R²", "noise", "add seeds")


def test_an_axis_that_hurts_is_said(axes):
    table = pa.table({**axes, "loss": axes["n"] ** 0.1 * axes["d"] ** -0.1})
    found = fit(table, laws=["product"], bootstrap=30).best
    assert found.params["alpha"].value == pytest.approx(-0.1)
    assert _says(found.warnings, "alpha is negative", "gets worse")


def test_a_law_blind_to_a_varying_axis_says_so(grid):
    axes = grid(n=[1e5, 1e6, 1e7], d=[1e6, 1e7, 1e8], ft_d=[1e3, 1e4])
    loss = (1 + 100 / axes["n"] ** 0.3 + 300 / axes["d"] ** 0.3) * axes["ft_d"] ** -0.2
    found = fit(pa.table({**axes, "loss": loss}), laws=["chinchilla"], bootstrap=0).best
    assert _says(found.warnings, "chinchilla doesn't know fine-tuning data d (ft_d)")
    assert found.params["alpha"].lo is None
    with pytest.raises(BadInput, match="without a bootstrap"):
        found.predict_interval(pa.table(axes))


def test_a_law_that_knows_no_compression_is_fitted_to_the_uncompressed_rows_and_says_so(grid):
    axes = grid(n=[1e5, 1e6, 1e7], d=[1e6, 1e7, 1e8], eps=[0.25, 1.0])
    loss = (1 + 100 / axes["n"] ** 0.3 + 300 / axes["d"] ** 0.3) * axes["eps"] ** -0.2
    report = fit(pa.table({**axes, "loss": loss}), laws=["chinchilla", "product"], bootstrap=0)
    found = report.fits["chinchilla"]
    assert _says(found.warnings, "it doesn't know compression: 9 compressed rows are left out")
    assert found.n_rows == 9
    assert found.params["alpha"].value == pytest.approx(0.3, rel=1e-4)
    assert report.best.law == "product"  # the other one has seen half of the rows


def test_where_no_row_is_uncompressed_a_law_that_knows_no_compression_takes_all(grid):
    axes = grid(n=[1e5, 1e6, 1e7], d=[1e6, 1e7, 1e8], eps=[0.25, 0.5])
    loss = (1 + 100 / axes["n"] ** 0.3 + 300 / axes["d"] ** 0.3) * axes["eps"] ** -0.2
    found = fit(pa.table({**axes, "loss": loss}), laws=["chinchilla"], bootstrap=0).best
    assert found.n_rows == 18
    assert _says(found.warnings, "chinchilla doesn't know compression ε (eps)")


def test_the_same_loss_everywhere_fits_nothing(axes):
    report = fit(pa.table({**axes, "loss": np.full(axes["n"].size, 2.0)}))
    assert report.fits == {}
    assert _says(report.warnings, "target is 2 in every row")


def test_runs_at_chance_are_named_as_a_plateau(axes):
    loss = np.minimum(2.303, 1.0 + 3000 * axes["n"] ** -0.5 * (axes["d"] / 1e7) ** -0.3)
    loss = loss * np.exp(np.random.default_rng(0).normal(0, 0.001, loss.size))
    report = fit(pa.table({**axes, "loss": loss}), laws=["product"], bootstrap=0)
    count = int((loss > 2.29).sum())
    assert _says(
        report.warnings, f"{count} of 20 rows sit at a plateau near L = 2.3", "train longer or drop those cells"
    )


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_a_plateau_is_found_at_every_share(share):
    x = np.linspace(0, 10, 40)
    loss = np.log(2.3) - 0.12 * np.maximum(x - 10 * share, 0)
    noise = np.random.default_rng(0).normal(0, 0.001, 40)
    found = plateau_rows([x], loss + noise)
    assert found.sum() == pytest.approx(40 * share, abs=3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [3, 4, 8])
def test_no_power_law_looks_like_a_plateau(grid, levels, seed):
    rng = np.random.default_rng(seed)
    for _ in range(30):
        alpha, beta = rng.uniform(0.05, 0.8, 2)
        axes = grid(n=list(np.geomspace(1, 100, levels)), d=list(np.geomspace(1, 10 ** rng.uniform(1, 4), levels)))
        weights = rng.exponential(1, 3)
        loss = weights[0] + weights[1] * axes["n"] ** -alpha + weights[2] * axes["d"] ** -beta
        log_loss = np.log(loss) + rng.normal(0, 0.002, loss.size)
        assert not plateau_rows([np.log(axes["n"]), np.log(axes["d"])], log_loss).any()


def test_published_runs_raise_no_plateau_alarm(chinchilla_points):
    logs = {k: np.log(v) for k, v in chinchilla_points.items()}
    assert not plateau_rows([logs["n"], logs["d"]], logs["loss"]).any()


@pytest.mark.parametrize(("rows", "said"), [(4, "leave 1 degree of freedom"), (5, "leave 2 degrees"), (6, None)])
def test_a_fit_with_hardly_more_rows_than_parameters_says_so(rows, said):
    n = np.geomspace(1e5, 1e7, 6)[:rows]
    d = np.array([1e6, 1e8, 1e7, 3e6, 3e7, 1e8])[:rows]
    found = fit(pa.table({"n": n, "d": d, "loss": 20 * n**-0.1 * d**-0.08}), laws=["product"], bootstrap=20).best
    assert [w for w in found.warnings if "freedom" in w] == [
        w for w in found.warnings if said is not None and said in w
    ]
    assert _says(found.warnings, "freedom") == (said is not None)


def test_a_best_law_of_which_little_is_known_is_no_source_of_exponents(axes):
    table = pa.table({"n": axes["n"], "d": 20 * axes["n"], "loss": 1.7 + 400 / axes["n"] ** 0.34})
    report = fit(table, laws=["chinchilla"], bootstrap=30)
    assert _says(report.warnings, "chinchilla predicts best, but these rows tell", "of its 5 parameters", "no exponent")
