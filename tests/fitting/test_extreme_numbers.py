"""Numbers that no size has are refused at their row; those that one could have are fitted without numpy's warnings."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.analysis.answers import optimal, predict
from orchestrator.errors import BadInput
from orchestrator.fitting import fit

N = np.repeat([1e7, 3e7, 1e8, 3e8, 1e9], 4)
D = np.tile([1e9, 4e9, 1.6e10, 6.4e10], 5)
COLUMNS = {"n": N, "d": D, "loss": 1.7 + 400 / N**0.34 + 900 / D**0.36}


@pytest.mark.parametrize("value", [5e-324, 1e-320, 1e-308, 1e-200, 1e51, 1e155, 1e308])
@pytest.mark.parametrize("name", ["n", "d", "loss"])
def test_a_number_beyond_all_sizes_is_refused_at_its_row(name, value):
    columns = {key: column.copy() for key, column in COLUMNS.items()}
    columns[name][3] = value
    said = re.escape(f"row 4 of the table: {name} is {value:g}: must lie between 1e-50 and 1e+50")
    with pytest.raises(BadInput, match=said):
        fit(pa.table(columns), bootstrap=0)


FAR = [1e-39, 1e39, *(pytest.param(factor, marks=pytest.mark.nightly) for factor in (1e-30, 1e-9, 1e9, 1e30))]


@pytest.mark.parametrize("factor", FAR)
@pytest.mark.parametrize("name", ["n", "d", "loss"])
def test_far_units_are_fitted_without_a_warning(name, factor):
    table = pa.table({**COLUMNS, name: COLUMNS[name] * factor})
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        report = fit(table, bootstrap=20)
    assert report.best is not None
    usual = fit(pa.table(COLUMNS), laws=["product"], bootstrap=0).fits["product"].params["alpha"].value
    assert report.fits["product"].params["alpha"].value == pytest.approx(usual)


@pytest.mark.parametrize("value", ["1e-320", "1e308", "1e60"])
def test_a_question_of_such_a_size_is_refused(value):
    table = pa.table(COLUMNS)
    with pytest.raises(BadInput, match=f"`n` is {value}: must lie between"):
        predict(table, n=value, d=1e9)
    with pytest.raises(BadInput, match=f"`flops` is {value}: must lie between"):
        optimal(table, flops=value)
