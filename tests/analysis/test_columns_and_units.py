"""Nothing that a person didn't name is taken for an axis or a unit; tables come as they are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import scalaw
from orchestrator.analysis.answers import optimal, predict
from orchestrator.analysis.fit_source import fit_source
from orchestrator.analysis.inputs import RowChoice, gather
from orchestrator.analysis.table_files import read_table
from orchestrator.errors import BadInput

#: The law by which the tables of columns and units were made, as a fit to them finds it.
RIGHT = {"E": 1.713, "A": 450.3, "B": 432.1, "alpha": 0.3464, "beta": 0.2832}


def _law(source, **how):
    params = fit_source(source, laws=["chinchilla"], bootstrap=0, **how).report.fits["chinchilla"].params
    return {name: estimate.value for name, estimate in params.items()}


@pytest.mark.parametrize(
    ("file", "mapping"),
    [
        ("unmapped-column-taken/runs.csv", "n=params,d=tokens,loss=loss"),
        ("jsonl-unmapped-column-changes-type/runs.jsonl", "n=n,d=d,loss=loss"),
        ("mac-cr-csv/runs.csv", None),
        ("parquet-folder/runs", None),
        ("parquet-numbers-as-text/runs.parquet", None),
        ("flops-in-place-of-tokens/runs.csv", "n=n,flops=flops,loss=loss"),
        ("flops-in-place-of-tokens/runs.csv", None),
    ],
)
def test_a_table_as_it_comes_gives_the_law_that_made_it(case, file, mapping):
    assert _law(case(file), mapping=mapping) == pytest.approx(RIGHT, rel=1e-3)


def test_data_that_are_taken_from_flops_are_said_to_be(case):
    notes = gather(case("flops-in-place-of-tokens/runs.csv")).notes
    assert any("flops / (6·n)" in note for note in notes)


def test_units_of_millions_are_refused_with_the_factor_and_read_with_it(case):
    path = case("units-in-millions-optimal/runs.csv")
    with pytest.raises(
        BadInput, match=r"n in millions and d in billions\? write `mapping` n=COLUMN\*1e6,d=COLUMN\*1e9"
    ):
        optimal(path, mapping="n=params_m,d=tokens_b", flops=1e21)
    mapped = "n=params_m*1e6,d=tokens_b*1e9"
    found = optimal(path, mapping=mapped, flops=1e21)
    assert found["n"]["value"] == pytest.approx(1.83e9, rel=0.02)
    assert found["loss"]["value"] == pytest.approx(2.33, abs=0.01)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a*1e6", 2e6),
        ("(a+b)/2", 2.5),
        ("-a + b**2", 7.0),
        ('"two words" * 10', 70.0),
        ("a^2*3", 12.0),
        ("6*a*b", 36.0),
    ],
)
def test_arithmetic_of_columns(text, value):
    table = pa.table({"a": [2.0], "b": [3.0], "two words": [7.0], "loss": [1.0]})
    assert gather(table, mapping={"n": text}).axes["n"].to_pylist() == [value]


@pytest.mark.parametrize("text", ["a*", "a*(b", "__import__('os')", "a.b()", "a*'x'", "c*2", "a;b*1", "a*1e6)"])
def test_what_is_no_arithmetic_of_columns_is_refused(text):
    with pytest.raises(BadInput):
        gather(pa.table({"a": [2.0], "b": [3.0], "loss": [1.0]}), mapping={"n": text})


def test_rows_are_chosen_by_a_condition_and_keep_their_numbers():
    table = pa.table(
        {"n": [1e6, 2e6, 4e6, 8e6], "d": [1e7] * 4, "loss": [4.0, 9.0, 3.0, -1.0], "State": ["a", "b", "a", "a"]}
    )
    kept = gather(table, rows=RowChoice(where="State = 'a' and loss > 0")).axes
    assert kept["n"].to_pylist() == [1e6, 4e6]
    with pytest.raises(BadInput, match="row 4 of the table: loss is -1"):
        fit_source(table, where="State = 'a'")


@pytest.mark.parametrize(
    "condition",
    [
        "1=1); drop table runs; select (1",
        "n in (select n from read_csv('/etc/passwd'))",
        "nope > 1",
        "n > 1e99",
        "1=1) limit 1 --",
    ],
)
def test_a_condition_reads_the_rows_and_nothing_else(condition):
    table = pa.table({"n": [1e6, 2e6], "d": [1e7, 1e7], "loss": [4.0, 3.0]})
    with pytest.raises(BadInput, match="`where`"):
        gather(table, rows=RowChoice(where=condition))


def test_rows_with_gaps_are_refused_together_or_dropped():
    table = pa.table({"n": [1e6, None, 4e6], "d": [1e7, 1e7, None], "loss": [4.0, 3.5, float("nan")]})
    with pytest.raises(BadInput, match=r"n is empty.*; .*d is empty.*; .*loss is nan"):
        fit_source(table)
    kept = gather(table, rows=RowChoice(drop_empty=True))
    assert kept.axes.num_rows == 1
    assert any("2 rows with an empty cell are left out" in note for note in kept.notes)


def test_the_envelope_is_the_best_row_of_each_point():
    table = pa.table({"n": [1e6, 1e6, 2e6], "d": [1e7, 1e7, 1e7], "loss": [4.0, 3.9, 3.5]})
    assert gather(table, rows=RowChoice(envelope=True)).axes["loss"].to_pylist() == [3.9, 3.5]


def test_comment_lines_decimal_commas_and_suffixes_of_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("# made by hand\nn;d;loss\n12M;1,5e9;3,25\n1B;2e9;2,5\n")
    axes = gather(str(path), rows=RowChoice(decimal=",")).axes
    assert axes["n"].to_pylist() == [12e6, 1e9]
    assert axes["loss"].to_pylist() == [3.25, 2.5]


def test_nested_keys_and_packed_files(tmp_path):
    import gzip

    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"config": {"n": 1e6}, "loss": 3}\n{"config": {"n": 2e6}, "loss": 2}\n'))
    assert read_table(path)["config.n"].to_pylist() == [1e6, 2e6]
    assert gather(str(path), mapping="n=config.n").axes["n"].to_pylist() == [1e6, 2e6]


def test_columns_of_numbers_are_a_table():
    columns = {"n": np.array([1e6, 2e6]), "d": [1e7, 2e7], "loss": [3.0, 2.5]}
    assert gather(columns).axes["d"].to_pylist() == [1e7, 2e7]


def test_whatever_holds_runs_is_fitted(case):
    path = case("mac-cr-csv/runs.csv")
    table = read_table(path)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    alphas = [
        scalaw.fit(x, laws=["chinchilla"], bootstrap=0).best.params["alpha"].value for x in (path, table, columns)
    ]
    assert alphas == pytest.approx([RIGHT["alpha"]] * 3, rel=1e-3)


def test_a_table_of_one_axis_is_asked_for_that_axis_alone(case):
    found = predict(case("predict-one-axis/runs.csv"), n="12B")
    assert found["value"] == pytest.approx(2.136, abs=0.02)
    assert found["lo"] < 2.136 < found["hi"]
    with pytest.raises(BadInput, match="say the point: `n`"):
        predict(case("predict-one-axis/runs.csv"))


def test_a_table_of_compressions_alone_is_fitted(case):
    params = fit_source(case("eps-only-table/runs.csv"), laws=["product"]).report.fits["product"].params
    assert (params["eta"].value, params["C"].value) == pytest.approx((0.10458, 0.34189), rel=1e-4)
