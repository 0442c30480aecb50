"""The laws that know ε, against tables whose damage is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.fitting import fit

LAWS = ["product", "product_floor", "chinchilla", "precision", "sparsity"]


@pytest.fixture(scope="module")
def whole(grid) -> dict[str, np.ndarray]:
    return grid(
        n=list(np.geomspace(1e5, 1e7, 5)), d=list(np.geomspace(1e6, 1e8, 5)), eps=[1.0, 8 / 32, 4 / 32, 3 / 32, 2 / 32]
    )


def _noisy(axes: dict[str, np.ndarray], loss: np.ndarray) -> pa.Table:
    return pa.table({**axes, "loss": loss * np.exp(np.random.default_rng(5).normal(0, 0.003, loss.size))})


def test_damage_that_grows_with_data_is_the_precision_laws(whole):
    n, d, bits = whole["n"], whole["d"], 32 * whole["eps"]
    loss = 1.7 + 40 / n**0.3 + 90 / d**0.35 + 0.06 * d**0.5 / n**0.35 * np.exp(-bits / 0.6)
    report = fit(_noisy(whole, loss), laws=LAWS, bootstrap=200)
    assert report.best is not None
    assert report.best_law.law == "precision"
    params = report.best.params
    for name, true in {"alpha": 0.3, "beta": 0.35, "gamma_D": 0.5, "gamma_N": 0.35, "gamma_P": 0.6}.items():
        lo, hi = params[name].lo, params[name].hi
        assert lo < true < hi, (name, lo, hi)
        assert hi - lo < 0.2, name
    assert params["gamma_w"].value is None  # N was never short of bits, and nothing is made up
    assert not report.separability.separable


def test_models_trained_sparse_follow_the_sparsity_law(grid):
    axes = grid(n=list(np.geomspace(1e6, 1e8, 5)), d=list(np.geomspace(1e8, 1e10, 5)), eps=[1.0, 0.5, 0.25, 0.125])
    n, d, density = axes["n"], axes["d"], axes["eps"]
    loss = 0.65 + (16.8 * density**0.722 + 45) * (density * n) ** -0.245 + (6.9e8 / d) ** 0.203  # T5 on C4, table 2
    report = fit(_noisy(axes, loss), laws=LAWS, bootstrap=200)
    assert report.best is not None
    assert report.best_law.law == "sparsity"
    alpha, beta = report.best.params["alpha"], report.best.params["beta"]
    assert alpha.lo < 0.245 < alpha.hi
    assert beta.lo < 0.203 < beta.hi


def test_a_power_of_either_sign_is_no_warning(whole):
    n, d, bits = whole["n"], whole["d"], 32 * whole["eps"]
    loss = 1.7 + 40 / n**0.3 + 90 / d**0.35 + 6e4 / d**0.4 * np.exp(-bits / 0.6)
    fitted = fit(_noisy(whole, loss), laws=["precision"], bootstrap=100).fits["precision"]
    assert fitted.params["gamma_D"].hi < 0
    assert not any("negative" in w for w in fitted.warnings)


def test_rows_of_one_precision_leave_the_laws_out(whole):
    one = {name: values[whole["eps"] == 1.0] for name, values in whole.items()}
    report = fit(pa.table({**one, "loss": 1.7 + 40 / one["n"] ** 0.3 + 90 / one["d"] ** 0.35}), laws=["precision"])
    assert report.fits == {}
    assert any("compression ε (eps) has one value only" in w for w in report.warnings)
