"""The compute-optimal N, D and E: exact where there is a closed form, honest where there is no optimum."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import minimize, minimize_scalar

from orchestrator.errors import BadInput
from orchestrator.fitting import LawFit, fit
from orchestrator.fitting.additive import AdditiveLaw
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.check import check_table
from orchestrator.fitting.frontier.budget import Budget
from orchestrator.fitting.frontier.optimum import best_optimum, obstacle, optimum
from orchestrator.fitting.identifiability import Withheld
from orchestrator.fitting.law import Parameter
from orchestrator.fitting.result import Estimate
from orchestrator.fitting.sample import LogAxes, Sample
from orchestrator.fitting.solver.terms import Term
from orchestrator.spec.registries import LAWS, Registry

E, A, B, ALPHA, BETA = 1.7, 400.0, 2000.0, 0.34, 0.28


def closed_form(flops: float, a: float, b: float, alpha: float, beta: float) -> float:
    """Hoffmann et al. 2022, equation 4."""
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    return float(g * (flops / 6) ** (beta / (alpha + beta)))


def table(noise: float = 0.0) -> pa.Table:
    n, d = (g.ravel() for g in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e8, 1e11, 6), indexing="ij"))
    scatter = np.exp(np.random.default_rng(0).normal(0, noise, n.size)) if noise else 1.0
    return pa.table({"n": n, "d": d, "loss": (E + A / n**ALPHA + B / d**BETA) * scatter})


def repeated(noise: float = 0.002) -> pa.Table:
    """Runs of the data-constrained law with R_D 5 and models too small to saturate."""
    n, d, e = (
        g.ravel()
        for g in np.meshgrid(
            np.geomspace(1e6, 1e8, 4), np.geomspace(1e8, 1e10, 4), [1.0, 2.0, 4.0, 16.0], indexing="ij"
        )
    )
    effective = d * (1 + 5 * (1 - np.exp(-(e - 1) / 5)))
    scatter = np.exp(np.random.default_rng(0).normal(0, noise, n.size))
    return pa.table({"n": n, "d": d, "e": e, "loss": (E + A / n**ALPHA + B / effective**BETA) * scatter})


@pytest.fixture(scope="module")
def exact() -> LawFit:
    return fit(table(), laws=["chinchilla"], bootstrap=0).fits["chinchilla"]


@pytest.fixture(scope="module")
def noisy() -> LawFit:
    return fit(table(0.003), laws=["chinchilla"], bootstrap=300).fits["chinchilla"]


@pytest.fixture(scope="module")
def axes() -> dict[str, FloatArray]:
    return check_table(table(), "loss")


@pytest.mark.parametrize("flops", [1e17, 1e20, 5.76e23, 1e27])
def test_noise_free_chinchilla_data_give_the_closed_form(exact, axes, flops):
    found = optimum(exact, Budget(flops=flops), axes)
    n = closed_form(flops, A, B, ALPHA, BETA)
    assert found.n.value == pytest.approx(n, rel=1e-4)
    assert found.d.value == pytest.approx(flops / 6 / n, rel=1e-4)
    assert found.e.value == 1.0
    assert found.loss.value == pytest.approx(E + A / n**ALPHA + B / (flops / 6 / n) ** BETA, rel=1e-6)
    _, *own = exact.solution
    assert found.n.value == pytest.approx(closed_form(flops, *own), rel=1e-7), "the search itself adds no error"


def test_the_ends_are_those_of_the_closed_form_on_every_draw(noisy, axes):
    found = optimum(noisy, Budget(flops=1e21), axes)
    drawn = [closed_form(1e21, *draw[1:]) for draw in noisy.draws]
    lo, hi = np.quantile(drawn, [0.05, 0.95], method="nearest")
    assert (found.n.lo, found.n.hi) == pytest.approx((lo, hi), rel=1e-4)
    assert (found.d.lo, found.d.hi) == pytest.approx((1e21 / 6 / hi, 1e21 / 6 / lo), rel=1e-4)
    assert found.n.lo < closed_form(1e21, A, B, ALPHA, BETA) < found.n.hi
    lo, hi = noisy.predict_interval(pa.table({"n": [found.n.value], "d": [found.d.value]}))
    assert (found.loss.lo, found.loss.hi) == (lo[0], hi[0])


def test_another_price_of_a_token_scales_the_budget(exact, axes):
    dear = optimum(exact, Budget(flops=1.2e21, flops_per_nde=12.0), axes)
    assert dear.n.value == pytest.approx(optimum(exact, Budget(flops=6e20), axes).n.value, rel=1e-8)


def test_serving_buys_a_smaller_model_trained_for_longer(exact, axes):
    budget = 1e21
    found = [optimum(exact, Budget(flops=budget, served=served), axes) for served in (0.0, 1e10, 1e11, 1e12)]
    sizes = [f.n.value for f in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.7 * sizes[0]
    for f, served in zip(found, (0.0, 1e10, 1e11, 1e12), strict=True):
        assert 6 * f.n.value * f.d.value + 2 * f.n.value * served == pytest.approx(budget)
        best = minimize_scalar(
            lambda x, served=served: (
                A / np.exp(x) ** ALPHA + B / (max(budget - 2 * np.exp(x) * served, 1.0) / (6 * np.exp(x))) ** BETA
            ),
            bounds=(math.log(f.n.value) - 2, math.log(f.n.value) + 2),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert math.log(f.n.value) == pytest.approx(best.x, abs=1e-4)


@pytest.mark.parametrize("law", ["product", "product_floor"])
@pytest.mark.parametrize("more", [{}, {"served": 1e9}, {"d_max": 1e9, "e_max": 4.0}])
def test_a_power_of_each_axis_has_no_optimum_and_says_so_in_one_sentence(law, more):
    runs = repeated()
    one = fit(runs, laws=[law], bootstrap=0).fits[law]
    with pytest.raises(BadInput, match=f"^{law} has no optimum inside a compute budget.*such as chinchilla"):
        optimum(one, Budget(flops=1e19, **more), check_table(runs, "loss"))


def test_the_best_law_that_can_answer_answers_and_names_those_that_can_not():
    runs = repeated()
    report = fit(runs, laws=["product", "chinchilla", "data_constrained"], bootstrap=0)
    fits, measured = report.fits, check_table(runs, "loss")
    assert report.ranking[0] == "data_constrained"
    found = best_optimum([fits[name] for name in report.ranking], Budget(flops=1e19), measured)
    assert found.law == "data_constrained"
    only = best_optimum([fits["product"], fits["chinchilla"]], Budget(flops=1e19), measured)
    assert only.law == "chinchilla"
    assert any(w.startswith("chinchilla answers, since product has no optimum") for w in only.warnings)
    with pytest.raises(BadInput, match="product has no optimum"):
        best_optimum([fits["product"]], Budget(flops=1e19), measured)


def test_data_that_run_out_are_repeated_and_more_goes_into_the_model():
    runs = repeated()
    one = fit(runs, laws=["data_constrained"], bootstrap=50).fits["data_constrained"]
    measured = check_table(runs, "loss")
    free = optimum(one, Budget(flops=1e19), measured)
    scarce = optimum(one, Budget(flops=1e19, d_max=free.d.value / 10), measured)
    assert free.e.value == 1.0
    assert scarce.d.value == pytest.approx(free.d.value / 10)
    assert 1.0 < scarce.e.value < 10.0
    assert scarce.n.value > free.n.value
    assert scarce.loss.value > free.loss.value
    assert 6 * scarce.n.value * scarce.d.value * scarce.e.value == pytest.approx(1e19)
    for factor in (0.98, 1.02):
        beside = {"n": scarce.n.value * factor, "d": scarce.d.value, "e": scarce.e.value / factor}
        assert one.predict(pa.table({k: [v] for k, v in beside.items()}))[0] > scarce.loss.value
    capped = optimum(one, Budget(flops=1e19, d_max=free.d.value / 10, e_max=2.0), measured)
    assert (capped.d.value, capped.e.value) == pytest.approx((free.d.value / 10, 2.0))
    assert capped.n.value == pytest.approx(1e19 / 6 / capped.d.value / 2.0)
    assert (capped.n.lo, capped.n.hi) == pytest.approx((capped.n.value, capped.n.value))


def test_a_law_that_takes_repeats_as_fresh_says_so_where_it_repeats(exact, axes):
    found = optimum(exact, Budget(flops=1e21, d_max=1e9), axes)
    assert found.e.value > 1
    assert "chinchilla counts repeated data as fresh data" in found.warnings


class Epochs(AdditiveLaw):
    """L = E + A/N^α + B/D^β + G/E^γ: epochs with an exponent of their own."""

    name = "epochs"
    required = ("n", "d", "e")
    data_seen = False

    def parameters(self, axes: Collection[str]) -> tuple[Parameter, ...]:
        factors = (Parameter(name, "factor", (axis,)) for name, axis in zip("ABG", "nde", strict=True))
        exponents = (
            Parameter(name, "exponent", (axis,)) for name, axis in zip(("alpha", "beta", "gamma"), "nde", strict=True)
        )
        return Parameter("E", "floor"), *factors, *exponents

    def terms(self, coords: FloatArray, log_axes: LogAxes) -> Sequence[Term]:
        one = np.ones_like(log_axes["n"])
        powers = [
            Term(
                coords[:, k : k + 1] - coords[:, k + 3 : k + 4] * log_axes[axis],
                (k, k + 3),
                np.stack([one, -log_axes[axis]])[None],
            )
            for k, axis in ((1, "n"), (2, "d"), (3, "e"))
        ]
        return Term(coords[:, :1] * one, (0,), one[None, None]), *powers

    def shift(self, coords: FloatArray, log_units: Mapping[str, float], log_loss_unit: float) -> FloatArray:
        moved = coords.copy()
        moved[..., :4] += log_loss_unit
        moved[..., 1:4] += coords[..., 4:] * np.array([log_units[axis] for axis in "nde"])
        return moved

    def starts(self, sample: Sample) -> FloatArray:
        return np.zeros((1, 7))


def test_a_law_with_an_exponent_of_epochs_weighs_data_against_epochs(monkeypatch):
    monkeypatch.setattr(Registry, "load", lambda self, name: Epochs if name == "epochs" else LAWS.builtin[name])
    params = np.array([1.0, 50.0, 80.0, 1.5, 0.3, 0.3, 0.8])
    names = ["E", "A", "B", "G", "alpha", "beta", "gamma"]
    one = LawFit(
        law="epochs", target="loss", axes=("n", "d", "e"), objective=0.0, r2_log=1.0, held_out_rmse_log=0.0, n_rows=9,
        params={name: Estimate(v, None, None) for name, v in zip(names, params, strict=True)}, warnings=[],
        solution=params, draws=np.zeros((0, 7)), residuals=np.zeros(1),
    )  # fmt: skip
    measured = {"n": np.array([1e3, 1e6]), "d": np.array([1e3, 1e9]), "e": np.array([1.0, 64.0])}
    found = optimum(one, Budget(flops=1e13), measured)

    def loss(x: FloatArray) -> float:
        n, e = np.exp(x)
        return float(50 / n**0.3 + 80 / (1e13 / 6 / n / e) ** 0.3 + 1.5 / e**0.8)

    best = minimize(loss, np.log([1e6, 4.0]), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-14})
    assert 1.5 < math.exp(best.x[1]) < 60, "the optimum lies inside"
    assert math.log(found.n.value) == pytest.approx(best.x[0], abs=2e-3)
    assert math.log(found.e.value) == pytest.approx(best.x[1], abs=2e-3)
    capped = optimum(one, Budget(flops=1e13, e_max=1.0), measured)
    assert capped.e.value == 1.0
    assert capped.loss.value > found.loss.value


def test_n_and_d_that_move_together_are_no_ground_for_an_answer():
    n = np.geomspace(1e6, 1e9, 12)
    runs = pa.table({"n": n, "d": 20 * n, "loss": E + A / n**ALPHA + B / (20 * n) ** BETA})
    fits = fit(runs, laws=["chinchilla"], bootstrap=50).fits
    with pytest.raises(BadInput, match=r"chinchilla can't split a budget: .*move together"):
        best_optimum(fits.values(), Budget(flops=1e20), check_table(runs, "loss"))


@pytest.mark.parametrize(
    ("cause", "answers"),
    [
        ("collinear", False),
        ("two_values", False),
        ("no_influence", False),
        ("cancels", False),
        ("out_of_bounds", False),
        ("wide_interval", True),
    ],
)
def test_why_an_exponent_has_no_number_decides_and_not_the_words_for_it(noisy, axes, cause, answers):
    words = "the 90 % interval of beta is not identified"  # of a wide interval, whatever the cause
    withheld = {"alpha": Withheld(cause, words)}
    one = replace(noisy, params={**noisy.params, "alpha": Estimate(None, None, None)}, withheld=withheld, warnings=[])
    why = obstacle(one, Budget(flops=1e20), axes)
    assert why == (None if answers else f"chinchilla can't split a budget: alpha is not identified: {words}")


def test_a_law_without_n_is_no_ground_for_an_answer():
    d = np.geomspace(1e3, 1e6, 9)
    runs = pa.table({"d": d, "loss": 1 + 5 / d**0.3})
    one = fit(runs, laws=["product"], bootstrap=0).fits["product"]
    assert obstacle(one, Budget(flops=1e9), check_table(runs, "loss")) == "product knows no n on these rows"


def test_an_end_that_draws_leave_open_has_no_number(noisy, axes):
    draws = noisy.draws.copy()
    draws[:60, 4] = -0.1  # more data makes it worse: all into N
    found = optimum(replace(noisy, draws=draws), Budget(flops=1e21), axes)
    assert found.n.hi is None
    assert found.d.lo is None
    assert found.n.lo < found.n.value
    assert any(w.startswith("20% of the bootstrap's draws have no optimum") for w in found.warnings)


def test_without_a_bootstrap_there_are_no_intervals(exact, axes):
    found = optimum(exact, Budget(flops=1e20), axes)
    assert {(x.lo, x.hi) for x in (found.n, found.d, found.e, found.loss)} == {(None, None)}


def test_an_optimum_beyond_the_rows_says_so(exact, axes):
    inside = optimum(exact, Budget(flops=1e19), axes)
    outside = optimum(exact, Budget(flops=1e27), axes)
    assert not any("outside the rows" in w for w in inside.warnings)
    assert sum("outside the rows" in w for w in outside.warnings) == 2


def test_a_budget_that_pays_for_nothing_is_refused(exact, axes):
    with pytest.raises(BadInput, match="`flops` 6 is too small"):
        optimum(exact, Budget(flops=6.0), axes)
    with pytest.raises(BadInput, match="too small"):
        optimum(exact, Budget(flops=1e9, served=1e12), axes)
