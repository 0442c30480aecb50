"""A person's mistakes: each is refused in one line that names the place and the fix."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.analysis.tables import map_columns, parse_map, read_table
from orchestrator.errors import BadInput
from orchestrator.fitting import fit
from orchestrator.spec.registries import LAWS

GOOD = {"n": [1e5, 1e6, 1e7, 1e5], "d": [1e6, 1e6, 1e7, 1e7], "loss": [4.0, 3.5, 3.0, 3.7]}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("loss", [4.0, -1.2, 3.0, 3.7], r"row 2 of the table: loss is -1\.2: must be > 0"),
        ("loss", [4.0, 3.5, 0.0, 3.7], r"row 3 of the table: loss is 0: must be > 0"),
        ("loss", [4.0, 3.5, 3.0, float("nan")], r"row 4 of the table: loss is nan: must be finite"),
        ("n", [float("inf"), 1e6, 1e7, 1e5], r"row 1 of the table: n is inf: must be finite"),
        ("d", [1e6, None, 1e7, 1e7], r"row 2 of the table: d is empty"),
        ("n", ["1e5", "1e6", "big", "1e5"], r"row 3 of the table: n is 'big': not a number"),
        ("n", [True, False, True, True], r"column n of the table holds bool, not numbers"),
        ("n", [[1], [2], [3], [4]], r"column n of the table holds list"),
    ],
)
def test_a_bad_value_is_named_with_its_row(column, values, message):
    with pytest.raises(BadInput, match=message):
        fit(pa.table({**GOOD, column: values}))


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (pa.table({"n": [1.0], "los": [2.0]}), {}, "no column 'loss' for the target: did you mean 'los'"),
        (pa.table({"size": [1.0], "loss": [2.0]}), {}, r"no axis among n, d.*size, loss.*`mapping`"),
        (pa.table(GOOD).slice(0, 0), {}, "has no rows"),
        (pa.table(GOOD), {"laws": ["chinchila"]}, "unknown law 'chinchila'.*did you mean 'chinchilla'"),
        (pa.table(GOOD), {"laws": []}, "no laws were named; known: additive, broken, chinchilla"),
        (pa.table(GOOD), {"hold_out": "biggest"}, "hold_out 'biggest': write largest, none, or a share"),
        (pa.table(GOOD), {"hold_out": 1.5}, r"hold_out 1\.5"),
        (pa.table(GOOD), {"bootstrap": -1}, "bootstrap -1: write a whole number"),
        (pa.table({**GOOD, "accuracy": [0.5, 71.0, 0.6, 0.7]}), {"target": "accuracy"}, "row 2.*at most 1"),
        (pa.table({**GOOD, "e": [2.0] * 4, "unique_d": GOOD["d"]}), {}, r"row 1.*d is not unique_d \* e"),
        (pa.table([[1.0], [2.0], [3.0]], names=["n", "loss", "loss"]), {}, "2 columns named 'loss'"),
    ],
)
def test_a_wrong_table_or_option_is_refused(table, options, message):
    with pytest.raises(BadInput, match=message):
        fit(table, **options)


def test_prediction_without_a_needed_column_names_it(chinchilla_table):
    found = fit(chinchilla_table(), laws=["chinchilla"], bootstrap=0).best
    with pytest.raises(BadInput, match="no column 'd' for the law chinchilla"):
        found.predict(pa.table({"n": [1e6]}))
    with pytest.raises(BadInput, match="level 90"):
        found.predict_interval(chinchilla_table(), level=90)
    stored = found.to_dict()
    del stored["draws"]
    with pytest.raises(BadInput, match="lacks the key 'draws'"):
        type(found).from_dict(stored)


def test_a_csv_row_is_counted_as_in_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n,d,loss\n" + "".join(f"{10**k},1e6,{3.0 if k != 5 else -1.2}\n" for k in range(1, 8)))
    with pytest.raises(BadInput, match=r"row 6 of t\.csv: loss is -1\.2: must be > 0"):
        fit(map_columns(read_table(path), {}).table)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_every_kind_of_file_gives_the_same_table(tmp_path, suffix):
    path = tmp_path / f"runs{suffix}"
    rows = [dict(zip(GOOD, values, strict=True)) for values in zip(*GOOD.values(), strict=True)]
    if suffix == ".csv":
        path.write_text("\ufeffn;d;loss\n" + "".join(";".join(map(str, r.values())) + "\n" for r in rows))
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert {k: [float(v) for v in values] for k, values in read_table(path).to_pydict().items()} == GOOD


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "no such file"),
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b"\n\n1,2\n", "first line is blank"),
        ("header.csv", b"n,d,loss\n", "has no rows"),
        ("ragged.csv", b"n,d,loss\n1,2\n", "can't be read as csv: line 2: expected 3 columns, got 2"),
        ("more.csv", b'n,d,loss\n1,2,"3"\n\n1,2,3,4\n', "can't be read as csv: line 4: expected 3 columns, got 4"),
        ("wide.csv", b",".join(b"c%d" % k for k in range(10_001)) + b"\n", "10,001 columns"),
        ("long.csv", b"x" * 1_000_002, "first line is longer than 1,000,000 bytes"),
        ("latin.csv", b"n,\xff\xfe,loss\n1,2,3\n", "can't be read as csv"),
        ("broken.parquet", b"PAR1 and no more", "can't be read as parquet"),
        ("broken.jsonl", b'{"n": 1\n', "can't be read as jsonl"),
        ("table.xlsx", b"x", r"unknown suffix '\.xlsx': write \.csv, \.tsv, \.json, \.jsonl"),
        ("table", b"x", r"unknown suffix '\(none\)'"),
    ],
)
def test_an_unreadable_file_is_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(BadInput, match="is a folder"):
        read_table(tmp_path)


def test_columns_are_mapped_and_others_dropped():
    table = pa.table({"size": [1.0, 2.0], "tok": [3.0, 4.0], "l": [5.0, 6.0], "n": [0.0, 0.0], "eps": [1.0, 0.5]})
    mapped = map_columns(table, parse_map("n=size, d=tok,loss=l")).table
    assert mapped.to_pydict() == {"n": [1.0, 2.0], "d": [3.0, 4.0], "loss": [5.0, 6.0]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n", "'n' is not NAME=COLUMN"),
        ("n=", "'n=' is not NAME=COLUMN"),
        ("n=size,,d=tok", "'' is not NAME=COLUMN"),
        ("n=size,n=tok", "n is named twice"),
        ("unique=size", "unknown axis 'unique'.*did you mean 'unique_d'"),
        ("width=size", "unknown axis 'width'.*known: n, d, e"),
        ("n=siz", "no column 'siz' for the n: did you mean 'size'"),
        ("n=parameters", "no column 'parameters' for the n: columns there: size, tok, l"),
    ],
)
def test_a_wrong_column_map_is_refused(text, message):
    table = pa.table({"size": [1.0], "tok": [3.0], "l": [5.0]})
    with pytest.raises(BadInput, match=message):
        map_columns(table, parse_map(text))


def test_integers_of_any_width_are_numbers():
    table = pa.table({"n": pa.array([10, 100, 200, 250], pa.uint8()), "loss": pa.array([4, 3, 3, 2], pa.int64())})
    assert fit(table, laws=["product"], bootstrap=0).best.params["alpha"].value > 0


def test_text_that_is_numbers_is_read_as_numbers():
    table = pa.table({**GOOD, "n": np.array(["100_000", "1M", "1e7", "0.1M"])})
    as_text, as_numbers = (fit(t, laws=["product"], bootstrap=0).best for t in (table, pa.table(GOOD)))
    assert as_text.params["alpha"].value == as_numbers.params["alpha"].value


def test_a_law_of_a_package_that_is_broken_is_left_out_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(LAWS.__dict__, "installed", {"theirs": "no_such_module_anywhere:Law"})
    report = fit(pa.table(GOOD), bootstrap=0)
    assert report.fits
    assert any(line.startswith("theirs is left out: the law 'theirs' can't be imported") for line in report.warnings)
    with pytest.raises(BadInput, match="can't be imported from no_such_module_anywhere"):
        fit(pa.table(GOOD), laws=["theirs"])
