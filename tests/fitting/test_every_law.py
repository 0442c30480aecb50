"""What every registered law promises, by one suite."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.fitting import LawFit, fit
from orchestrator.fitting.axes import law_axes
from orchestrator.fitting.law import Law
from orchestrator.fitting.sample import centred
from orchestrator.spec.registries import LAWS

#: Parameters to recover; by name, so that a new law needs a line only for names of its own.
TRUTH = {
    "E": 1.6, "L_inf": 1.4, "A": 350.0, "B": 1500.0, "R_D": 12.0, "R_N": 8.0,
    "alpha": 0.33, "beta": 0.38, "gamma": 0.12, "delta": 0.2, "zeta": 0.07, "eta": 0.4,
    "gamma_D": 0.5, "gamma_N": 0.35, "gamma_P": 0.6, "gamma_w": 1.5,
    "N_c": 3e7, "D_c": 5e9, "alpha_N": 0.35, "alpha_D": 0.3, "D_b": 8e6, "c": 0.25, "f": 0.6,
    "b_N": 0.02, "beta_N": 0.005, "k": 20.0,
    "A_n": 350.0, "A_d": 1500.0, "A_e": 0.6, "A_ft_d": 9.0, "A_ft_e": 0.7, "A_eps": 0.02,
    "chance": 0.2, "span": 0.6, "level": -9.0,
    "a_S": 60.0, "b_S": -0.6, "c_S": 300.0,
}  # fmt: skip
#: A law's own values, such that its power term is near 1 or its damage a part of the loss.
OF_LAW = {
    "product": {"C": 0.002},
    "product_floor": {"C": 3e4},
    "precision": {"C": 0.5},
    "broken": {"C": 600.0},
    "kaplan_floor": {"gamma": 0.5},
    "additive": {"gamma": 0.6, "delta": 0.5, "zeta": 0.9},
}
#: Shares kept: 32 (nothing done), 4, 3 and 2 bits.
EPS = [1.0, 4 / 32, 3 / 32, 2 / 32]


def _law(name: str) -> Law:
    law: Law = LAWS.load(name)()
    return law


def _truth(law: Law, axes: dict[str, np.ndarray]) -> np.ndarray:
    """Known parameter values."""
    values = {**TRUTH, **OF_LAW.get(law.name, {})}
    return np.array([values[p.name] for p in law.parameters(axes)])


@pytest.fixture(scope="module", params=LAWS.names())
def law(request) -> Law:
    return _law(request.param)


@pytest.fixture(scope="module")
def columns(law, grid) -> dict[str, np.ndarray]:
    pretraining = {"n": [1e5, 3e5, 1e6, 3e6], "d": [1e6, 4e6, 1.6e7]}
    if "ft_d" in law.required:
        return grid(**pretraining, ft_d=[1e4, 1e5, 1e6], ft_e=[1.0, 4.0])
    return grid(**pretraining, e=[1.0, 2.0, 8.0, 24.0], eps=EPS)


@pytest.fixture(scope="module")
def case(law, columns) -> tuple[Law, dict[str, np.ndarray], np.ndarray]:
    """A law, its axes on the grid, and parameters."""
    axes = law_axes(columns, data_seen=law.data_seen)
    axes = {name: values for name, values in axes.items() if name in (*law.required, *law.optional)}
    return law, axes, _truth(law, axes)


def test_gradient_is_the_derivative_of_the_prediction(case):
    law, axes, params = case
    exact = law.gradient(params, axes)
    for k in range(params.size):
        step = 1e-6 * params[k]
        up, down = params.copy(), params.copy()
        up[k], down[k] = params[k] + step, params[k] - step
        numeric = (law.predict(up, axes) - law.predict(down, axes)) / (2 * step)
        np.testing.assert_allclose(exact[:, k], numeric, rtol=2e-5, atol=1e-7 * np.abs(exact[:, k]).max())


@given(unit=st.floats(-12, 12), loss_unit=st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_shift_to_other_units_changes_no_prediction(case, unit, loss_unit):
    law, axes, params = case
    units = {name: (unit if name != "e" else unit / 8) for name in axes}
    coords = law.shift(law.to_coords(params, axes)[None], units, loss_unit)[0]
    scaled = {name: values * np.exp(units[name]) for name, values in axes.items()}
    moved = law.predict(law.from_coords(coords, axes), scaled)
    np.testing.assert_allclose(moved, law.predict(params, axes) * np.exp(loss_unit), rtol=1e-9)


def test_own_parameters_come_back_from_noiseless_rows(case):
    law, axes, params = case
    sample, units = centred(axes, law.predict(params, axes))
    found = law.from_coords(law.shift(law.solve(sample)[None], units.axes, units.loss), axes)[0]
    np.testing.assert_allclose(found, params, rtol=1e-5)


def test_predictions_of_whole_models_fall_as_every_axis_grows_and_rise_as_they_are_compressed(case):
    """Of whole models only: what compression harms may grow with data (Kumar et al. 2024)."""
    law, axes, params = case
    if "eps" in axes:
        by_eps = law.predict(params, axes).reshape(-1, len(EPS))  # the last axis of the grid
        assert (np.diff(by_eps, axis=1) > 0).all()
        axes = {name: values[axes["eps"] == 1.0] for name, values in axes.items()}
    base = law.predict(params, axes)
    for name in axes:
        grown = {**axes, name: axes[name] * 1.5}
        if name == "unique_d":
            grown[name] = np.minimum(grown[name], axes["d"])
        assert (law.predict(params, grown) <= base * (1 + 1e-12)).all()


def test_unit_weights_resolve_to_the_solution(case):
    law, axes, params = case
    noise = np.exp(np.random.default_rng(3).normal(0, 0.01, next(iter(axes.values())).size))
    sample, _ = centred(axes, law.predict(params, axes) * noise)
    coords = law.solve(sample)
    again = law.resolve(sample, coords, np.ones((2, sample.rows)))
    np.testing.assert_allclose(again, np.stack([coords, coords]), atol=2e-4)


def _measured(law, loss, unit=1.0):
    """The target of a law's rows: a loss, or the share that a law of shares is one over."""
    return {"loss": loss * unit} if law.fits_loss else {"accuracy": 1.0 / loss}


def _fitted(law, table, **options):
    target = "loss" if law.fits_loss else "accuracy"
    return fit(table, target=target, laws=[law.name], **options)


def test_fit_in_other_units_predicts_the_same(case, columns):
    law, axes, params = case
    loss = law.predict(params, axes) * np.exp(np.random.default_rng(1).normal(0, 0.01, columns["n"].size))
    unit = 7 if law.fits_loss else 1
    small = pa.table({**columns, **_measured(law, loss)})
    large = pa.table({**columns, "n": columns["n"] * 1e6, "d": columns["d"] * 1e-3, **_measured(law, loss, unit)})
    first, second = (_fitted(law, t, bootstrap=0).fits[law.name] for t in (small, large))
    np.testing.assert_allclose(first.predict(small) * unit, second.predict(large), rtol=1e-5)
    assert second.objective == pytest.approx(first.objective, rel=1e-6)


def test_stored_fit_predicts_again(case, columns):
    law, axes, params = case
    loss = law.predict(params, axes) * np.exp(np.random.default_rng(2).normal(0, 0.01, columns["n"].size))
    table = pa.table({**columns, **_measured(law, loss)})
    fitted = _fitted(law, table, bootstrap=40).fits[law.name]
    again = LawFit.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    np.testing.assert_array_equal(again.predict(table), fitted.predict(table))
    np.testing.assert_array_equal(again.predict_interval(table), fitted.predict_interval(table))
    assert again.params == fitted.params
    assert again.withheld == fitted.withheld
    assert set(again.withheld) == {name for name, estimate in again.params.items() if estimate.value is None}
    lo, hi = fitted.predict_interval(table)
    assert (lo < hi).all()


def test_too_few_rows_leave_the_law_out_and_say_so(case, columns):
    law, axes, params = case
    few = np.array([0, 13, 27])
    table = pa.table({k: v[few] for k, v in columns.items()} | _measured(law, law.predict(params, axes)[few]))
    report = _fitted(law, table)
    assert report.fits == {}
    assert report.best is None
    assert any(law.name in w and "add cells" in w for w in report.warnings)
