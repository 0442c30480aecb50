"""The default answer: exact where the rows follow a law, wider with distance, and one for everybody who asks."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.analysis.evidence import DEFAULTS, Evidence
from orchestrator.fitting import fit, report_json
from orchestrator.fitting.average.fit import AverageFit
from orchestrator.fitting.caution import Caution, codes
from orchestrator.fitting.far.answer import fit_far
from orchestrator.fitting.far.row_weights import row_weights

N, D = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e9, 7), np.geomspace(3e8, 3e10, 7), indexing="ij"))
FAR = {"n": np.array([1e10, 1e11]), "d": np.array([2e11, 2e12])}
LAWS = {
    "chinchilla": lambda n, d: 1.7 + 480 / n**0.35 + 2100 / d**0.37,
    "kaplan": lambda n, d: ((8.8e13 / n) ** (0.076 / 0.095) + 5.4e13 / d) ** 0.095,
    "kaplan_floor": lambda n, d: 0.9 + ((2e9 / n) ** (0.3 / 0.45) + (2e10 / d) ** (0.28 / 0.45)) ** 0.45,
}


@pytest.mark.parametrize("law", LAWS)
def test_rows_made_exactly_by_a_law_are_followed_a_thousand_times_beyond(law):
    answer = fit_far({"n": N, "d": D}, LAWS[law](N, D))
    assert np.abs(answer.predict(FAR) - np.log(LAWS[law](**FAR))).max() < 0.003
    assert {found.form.name: believed for found, believed in answer.exact}[law] > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_noise_leaves_the_truth_inside_the_interval(law):
    held = []
    for seed in range(12):
        loss = LAWS[law](N, D) * np.exp(np.random.default_rng(seed).normal(0, 0.003, N.size))
        answer = fit_far({"n": N, "d": D}, loss)
        held += (np.abs(answer.predict(FAR) - np.log(LAWS[law](**FAR))) <= answer.half_width(FAR)).tolist()
    assert np.mean(held) >= 0.85


def test_intervals_grow_with_distance_and_with_the_level():
    loss = LAWS["chinchilla"](N, D) * (1 + 0.02 * np.sin(np.log(N) * 1.3) * np.cos(np.log(D)))
    answer = fit_far({"n": N, "d": D}, loss)
    away = {"n": np.geomspace(1e9, 1e12, 5), "d": np.geomspace(3e10, 3e13, 5)}
    half = answer.half_width(away)
    assert (np.diff(half) > 0).all()
    assert (answer.half_width(away, 0.5) < half).all()


def test_the_unit_of_the_loss_changes_nothing_but_the_unit():
    loss = LAWS["kaplan_floor"](N, D) * np.exp(np.random.default_rng(0).normal(0, 0.01, N.size))
    one, other = (fit_far({"n": N, "d": D}, unit * loss) for unit in (1.0, 1e3))
    np.testing.assert_allclose(other.predict(FAR) - np.log(1e3), one.predict(FAR), atol=2e-3)


def test_dear_rows_near_the_lowest_losses_count_most():
    cost, loss = np.linspace(0, 10, 40), -0.1 * np.linspace(0, 10, 40)
    loss[35] += 0.3
    weights = row_weights(cost, loss)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[39] > 3 * weights[0]
    assert weights[35] < 0.2 * weights[36]
    assert weights.sum() ** 2 / (weights**2).sum() >= 12


def test_few_rows_or_one_size_give_finite_answers():
    for rows in ({"n": N[:5], "d": D[:5]}, {"n": np.full(8, 1e8), "d": np.geomspace(1e9, 1e11, 8)}):
        answer = fit_far(rows, LAWS["chinchilla"](**rows))
        assert np.isfinite(answer.predict(FAR)).all()
        assert (answer.half_width(FAR) > 0).all()


def test_fit_predict_and_json_give_one_answer():
    table = pa.table({"n": N, "d": D, "loss": LAWS["kaplan_floor"](N, D)})
    report = fit(table, bootstrap=30)
    assert isinstance(report.best, AverageFit)
    there = pa.table(FAR)
    np.testing.assert_array_equal(report.predict(there), report.best.predict(there))
    assert report.best.params == report.best_law.params
    document = json.loads(json.dumps(report_json(report), allow_nan=False))
    assert document["best"] == "average"
    assert document["fits"]["average"]["answer"]["params_of"] == document["best_law"]
    evidence = Evidence(axes=table, settings={**DEFAULTS, "bootstrap": 30}, title="t", d_counts="seen")
    asked = evidence.predict({"n": "1e10", "d": "2e11"}, law=None, level=0.9)
    assert asked["value"] == pytest.approx(report.predict(there)[0], rel=1e-12)
    assert asked["lo"] < asked["value"] < asked["hi"]
    assert asked["law"] == "average"


def test_named_laws_alone_give_no_average():
    table = pa.table({"n": N, "d": D, "loss": LAWS["chinchilla"](N, D)})
    assert list(fit(table, laws=["chinchilla"], bootstrap=0).fits) == ["chinchilla"]
    assert "average" in fit(table, laws=["chinchilla", "average"], bootstrap=0).fits


def test_what_may_be_far_off_is_said_with_its_numbers():
    loss = LAWS["chinchilla"](N, D) * np.exp(np.random.default_rng(3).normal(0, 0.12, N.size))
    found = fit(pa.table({"n": N, "d": D, "loss": loss}), laws=["chinchilla", "average"], bootstrap=0).best
    said = found.cautions(pa.table(FAR))
    assert codes(said) == {"may_be_off"}
    assert said[0].numbers["residual"] > 0.05
    assert said[0].numbers["beyond"] == pytest.approx(2e23 / 3e19, rel=1e-6)


def test_tied_and_held_parameters():
    table = pa.table({"n": N, "d": D, "loss": LAWS["chinchilla"](N, D)})
    tied = fit(table, laws=["chinchilla"], bootstrap=20, fix="alpha=beta").fits["chinchilla"].params
    assert tied["alpha"] == tied["beta"]
    held = fit(table, laws=["chinchilla"], bootstrap=20, fix={"E": 1.69}).fits["chinchilla"].params
    assert held["E"].value == pytest.approx(1.69)
    assert held["alpha"].value == pytest.approx(0.35, abs=0.01)


def test_a_caution_is_a_sentence_with_a_code():
    caution = Caution("too far", "beyond", times=3.0)
    assert caution == "too far"
    assert json.dumps([caution]) == '["too far"]'
    assert caution.to_json() == {"code": "beyond", "sentence": "too far", "numbers": {"times": 3.0}}


def test_a_report_is_a_summary_and_a_table_in_a_notebook():
    report = fit(pa.table({"n": N, "d": D, "loss": LAWS["chinchilla"](N, D)}), laws=["chinchilla"], bootstrap=20)
    alpha = report.fits["chinchilla"].params["alpha"]
    assert f"alpha    {alpha.value:.4g}  [{alpha.lo:.4g}, {alpha.hi:.4g}]" in report.summary()
    page = report._repr_html_()
    assert page.count("<tr>") == 6
    assert f"<td>alpha</td><td>{alpha.value:.4g}</td>" in page
