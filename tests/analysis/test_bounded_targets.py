"""Accuracies: never outside 0 to 1, and asked for by every verb."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from orchestrator.analysis.answers import optimal, predict
from orchestrator.fitting import fit
from orchestrator.reporting.plot import plot


def test_accuracy_is_predicted_and_drawn_from_a_table(case, tmp_path):
    path = case("accuracy-table-no-predict/runs.csv")
    found = predict(path, n="1B", d="20B", target="accuracy", law="product")
    assert found["value"] == pytest.approx(0.489, abs=0.002)
    assert 0 <= found["lo"] <= found["value"] <= found["hi"] <= 1
    assert plot(path, tmp_path / "a.png", target="accuracy")["path"]


def test_accuracy_that_saturates_is_no_power(case):
    table = pa.csv.read_csv(case("accuracy-saturates/table.csv"))
    part = np.array(table["part"].to_pylist())
    cheap, dear = (table.filter(pa.array(part == name)) for name in ("fit", "dear"))
    report = fit(cheap, target="accuracy", bootstrap=200)
    truth = np.asarray(dear["accuracy"])
    sigmoid = report.fits["sigmoid"]
    assert np.sqrt(np.mean((sigmoid.predict(dear) - truth) ** 2)) < 0.03
    chance, span = (sigmoid.params[name].value for name in ("chance", "span"))
    assert chance == pytest.approx(0.246, abs=0.02)
    assert chance + span == pytest.approx(0.79, abs=0.03)
    for answer in (report, *report.fits.values()):
        lo, hi = answer.predict_interval(dear)
        assert (answer.predict(dear) <= 1).all()
        assert (lo >= 0).all()
        assert (hi <= 1).all()
    assert np.sqrt(np.mean((report.predict(dear) - truth) ** 2)) < 0.05
    lo, hi = report.predict_interval(dear)
    assert np.mean((lo <= truth) & (truth <= hi)) >= 0.8


def test_a_tables_own_flops_are_spent(case):
    path = case("own-flops-and-target/table.csv")
    found = optimal(path, flops=1e20)
    assert found["flops_per_nde_from"] == "table"
    assert found["n"]["value"] == pytest.approx(9.5e8, rel=0.1)
    assert found["d"]["value"] == pytest.approx(1.0e10, rel=0.1)
    assert found["loss"]["value"] == pytest.approx(2.465, abs=0.01)
    there = predict(path, n=3e8, d=2e10, target="accuracy")
    assert 0 <= there["lo"] <= there["value"] <= there["hi"] <= 1
