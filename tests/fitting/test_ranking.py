"""Choosing a law: forward chaining on real and made-up tables, and a simpler law where it does as well."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.fitting import LawFit, fit
from orchestrator.fitting.validation import folds


def test_folds_only_ever_predict_dearer_rows_and_split_no_cost(grid):
    axes = grid(n=[1e3, 2e3, 4e3, 8e3], d=[1e3, 2e3, 4e3], e=[1.0, 2.0])
    cost = axes["n"] * axes["d"] * axes["e"]
    found = folds(axes)
    assert len(found) >= 3
    for fold, later in zip(found, [*found[1:], None], strict=True):
        assert cost[fold.known].max() < cost[fold.ahead].min()
        assert not set(cost[fold.known]) & set(cost[fold.ahead])
        if later is not None:
            assert ((fold.known | fold.ahead) == later.known).all()
    assert (found[-1].known | found[-1].ahead).all()


def test_published_repeated_data_is_given_to_the_law_that_knows_it(data_constrained_tables):
    train, test = (
        t.select(["unique_tokens", "params", "tokens", "loss"]).rename_columns(["unique_d", "n", "d", "loss"])
        for t in data_constrained_tables
    )
    report = fit(train, bootstrap=0)
    loss = np.asarray(test["loss"])
    r2 = 1 - ((report.best.predict(test) - loss) ** 2).sum() / ((loss - loss.mean()) ** 2).sum()
    assert report.best_law.law == "data_constrained"
    assert "effective data" in report.best.facts()["kind"]
    assert r2 >= 0.975


def test_a_simpler_law_wins_where_it_predicts_as_well(chinchilla_table):
    report = fit(chinchilla_table(), laws=["n_dependent", "chinchilla", "product"], bootstrap=0)
    assert report.ranking[0] == report.best.law == "chinchilla"
    assert report.fits["n_dependent"].rolling_rmse_log < 2 * report.fits["chinchilla"].rolling_rmse_log
    assert report.fits["product"].rolling_rmse_log > 2 * report.fits["chinchilla"].rolling_rmse_log
    assert report.ranking[-1] == "product"


@pytest.mark.parametrize("hold_out", ["none", None])
def test_without_held_out_rows_the_best_describes_best(chinchilla_table, hold_out):
    report = fit(chinchilla_table(), laws=["product", "chinchilla"], hold_out=hold_out, bootstrap=0)
    assert report.ranking == ["chinchilla", "product"]
    assert all(found.rolling_rmse_log is None for found in report.fits.values())


def test_laws_of_the_uncompressed_rows_stand_behind_those_of_all(grid):
    axes = grid(n=list(np.geomspace(1e5, 1e7, 4)), d=list(np.geomspace(1e6, 1e8, 4)), eps=[1.0, 0.25, 0.125])
    loss = 1.7 + 40 / axes["n"] ** 0.3 + 90 / axes["d"] ** 0.35 + 0.3 / axes["eps"]
    report = fit(pa.table({**axes, "loss": loss}), laws=["chinchilla", "product", "additive"], bootstrap=0)
    assert report.ranking == ["additive", "product", "chinchilla"]
    assert report.fits["chinchilla"].rolling_rmse_log is None


def test_a_prediction_holds_what_laws_say_that_the_rows_can_not_tell_apart(chinchilla_table):
    report = fit(chinchilla_table(noise=0.02), laws=["chinchilla", "product_floor", "kaplan"], bootstrap=100)
    assert report.near[0] == report.best.law
    far = pa.table({"n": [1e12], "d": [1e13]})
    one_by_one = [report.fits[name] for name in report.near]
    each = [float(found.predict(far)[0]) for found in one_by_one]
    assert report.predict(far)[0] == pytest.approx(float(np.exp(np.mean(np.log(each)))))
    lo, hi = (float(end[0]) for end in report.predict_interval(far))
    ends = [[float(end[0]) for end in found.predict_interval(far)] for found in one_by_one]
    assert min(low for low, _ in ends) <= lo < hi <= max(high for _, high in ends)


def test_the_interval_of_one_law_is_its_own(chinchilla_table):
    report = fit(chinchilla_table(noise=0.02), laws=["chinchilla"], bootstrap=100)
    rows = pa.table({"n": np.geomspace(1e6, 1e9, 3000), "d": np.geomspace(1e8, 1e10, 3000)})
    assert report.near == ["chinchilla"]
    np.testing.assert_array_equal(report.predict_interval(rows), report.best.predict_interval(rows))
    parts = [report.best.predict_interval(rows.slice(start, 1000)) for start in range(0, 3000, 1000)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), report.best.predict_interval(rows), rtol=1e-12)


def test_a_run_dearer_than_all_has_the_noise_of_predictions(data_constrained_tables):
    train, _ = data_constrained_tables
    train = train.select(["unique_tokens", "params", "tokens", "loss"]).rename_columns(["unique_d", "n", "d", "loss"])
    found = fit(train, laws=["chinchilla"], bootstrap=200).best
    assert found.ahead.size > 0
    assert np.abs(found.ahead).mean() > np.abs(found.residuals).mean(), "so that the two differ"
    blind = replace(found, ahead=np.zeros(0))
    inside = pa.table({"n": [1e9, 1e9], "d": [1e10, 2e10], "unique_d": [1e10, 1e10]})
    np.testing.assert_array_equal(found.predict_interval(inside), blind.predict_interval(inside))
    beyond = pa.table({"n": [1e12], "d": [1e13], "unique_d": [1e13]})
    lo, hi = (float(end[0]) for end in found.predict_interval(beyond))
    low, high = (float(end[0]) for end in blind.predict_interval(beyond))
    assert hi / lo > high / low
    again = LawFit.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_array_equal(again.predict_interval(beyond), found.predict_interval(beyond))
