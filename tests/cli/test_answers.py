"""What a verb answers and what its function returns are one document."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv
import pytest

from orchestrator.analysis import answer, optimal, predict, status
from orchestrator.errors import BadInput
from orchestrator.store import open_store

COLUMNS = {"n": "size", "d": "tok", "loss": "l"}
MAPPING = "n=size,d=tok,loss=l"


def test_a_prediction_is_that_of_the_verb(scalaw, measured_store):
    told = scalaw("predict", measured_store, "--n", "1M", "--d", "8M", "--law", "chinchilla", "--json").document
    assert predict(str(measured_store), n=1e6, d="8M", law="chinchilla") == told
    assert predict(open_store(str(measured_store)), n=1_000_000, d=8e6, law="chinchilla") == told
    assert told["d_means"] == "unique tokens"


def test_a_table_is_its_file_its_name_or_itself(scalaw, runs_csv):
    told = scalaw(
        "predict", runs_csv, "--map", MAPPING, "--n", "1B", "--d", "64B", "--law", "product", "--json"
    ).document
    table = pa.csv.read_csv(runs_csv)
    for source in (str(runs_csv), runs_csv, table):
        for mapping in (MAPPING, COLUMNS):
            assert predict(source, n=1e9, d=64e9, law="product", mapping=mapping) == told
    with pytest.raises(BadInput, match="the table has no column 'tokens'"):
        predict(table, n=1e9, d=64e9, mapping={**COLUMNS, "d": "tokens"})
    assert told["d_means"] == "seen"


def test_an_optimum_is_that_of_the_verb(scalaw, measured_store, runs_csv):
    told = scalaw("optimal", measured_store, "--flops", "1e11", "--law", "chinchilla", "--json").document
    assert optimal(measured_store, flops=1e11, law="chinchilla") == told
    scarce = ("--flops", "1e20", "--d-max", "1B", "--law", "chinchilla", "--json")
    told = scalaw("optimal", runs_csv, "--map", MAPPING, *scarce).document
    assert optimal(pa.csv.read_csv(runs_csv), flops=1e20, d_max=1e9, law="chinchilla", mapping=COLUMNS) == told
    assert told["d_means"] == "unique", "a cap is on unique data, whatever d means in the rows"


def test_the_best_measured_cell_is_that_of_the_verb(scalaw, measured_store):
    told = scalaw("optimal", measured_store, "--max-bytes", "100k", "--max-latency", "0.01", "--json").document
    assert optimal(measured_store, max_bytes=1e5, max_latency=0.01) == told


def test_a_wrong_question_is_refused_in_the_words_of_python(measured_store, runs_csv):
    with pytest.raises(BadInput, match="either `flops`, or `max_bytes` and `max_latency`"):
        optimal(measured_store)
    with pytest.raises(BadInput, match="`law` and `curve` belong to `flops`"):
        optimal(measured_store, max_bytes=1e5, law="chinchilla", curve=True)
    with pytest.raises(BadInput, match=r"`epochs_max` must be at least 1, not 0\.5"):
        optimal(measured_store, flops=1e11, epochs_max=0.5)
    with pytest.raises(BadInput, match="what was given is a table; sizes and latencies of models"):
        optimal(pa.csv.read_csv(runs_csv), max_bytes=1e5)


def test_the_status_is_that_of_the_verb(scalaw, measured_store):
    told = scalaw("status", measured_store, "--json").document
    assert status(str(measured_store)) == told
    assert status(str(measured_store), sweep="measured") == told
    assert told["sweeps"][0]["state"] == "done"


def test_an_answer_is_fitted_and_kept_in_the_store(measured_store):
    store = open_store(str(measured_store))
    found = answer(store, "measured")
    assert found.report is not None
    assert set(store.fits()["law"].to_pylist()) == set(found.report.fits) - {"average"}
