"""``scalaw select``: selection replayed on tables and stores, and ``run --select``'s flags."""

from __future__ import annotations

import pytest


@pytest.fixture
def costed(runs_csv):
    lines = runs_csv.read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    runs_csv.write_text("\n".join([lines[0] + ",cost", *(f"{','.join(r)},{float(r[0]) * float(r[1])}" for r in rows)]))
    return runs_csv


def test_a_tenth_of_the_cost_predicts_a_noiseless_table(scalaw, costed):
    common = ("select", costed, "--map", "n=size,d=tok,loss=l", "--cost", "cost", "--budget-fraction", "0.5")
    document = scalaw(*common, "--json").document
    assert (document["candidates"], document["targets"]) == (12, 8)
    assert len(document["chosen"]) == document["rows"] <= 12
    assert document["cost"] <= 0.5 * document["total_cost"]
    assert document["cost"] == pytest.approx(sum(choice["cost"] for choice in document["chosen"]))
    assert document["rmse_log"] < 0.05
    text = scalaw(*common).out
    assert "of 12 rows chosen, for" in text
    assert "8 rows predicted from them by" in text


def test_rows_to_predict_may_stand_in_a_table_of_their_own(scalaw, costed, tmp_path):
    lines = costed.read_text().splitlines()
    (tmp_path / "dear.csv").write_text("\n".join([lines[0], *lines[-3:]]))
    costed.write_text("\n".join(lines[:-3]))
    document = scalaw(
        "select", costed, "--map", "n=size,d=tok,loss=l", "--cost", "cost", "--predict", tmp_path / "dear.csv",
        "--budget-fraction", "0.9", "--json",
    ).document  # fmt: skip
    assert (document["candidates"], document["targets"]) == (17, 3)
    assert document["r2"] > 0.9


def test_a_store_is_replayed_by_its_flops(scalaw, measured_store):
    document = scalaw("select", measured_store, "--cost", "flops", "--budget-fraction", "0.9", "--json").document
    assert document["candidates"] + document["targets"] == 36


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("select", "T", "--map", "n=size,d=tok,loss=l", "--cost", "price"),
            "runs.csv has no column 'price': columns there",
        ),
        (("select", "T", "--map", "n=size,d=tok,loss=l", "--cost", "cost", "--budget-fraction", "0"), "above 0"),
        (("select", "T", "--map", "n=size,d=tok,loss=l", "--cost", "cost", "--target-interval", "0"), "above 0"),
        (("select", "T", "--map", "n=size,d=tok,loss=l", "--cost", "cost", "--budget-fraction", "1e-6"), "raise it"),
        (("run", "Y", "--store", "S", "--budget-fraction", "0.1"), "belongs to --select active"),
        (("run", "Y", "--store", "S", "--select", "active", "--budget-fraction", "2"), "at most 1"),
        (("run", "Y", "--store", "S", "--select", "active", "--budget-fraction", "1e-9"), "pays for no cell"),
        (("run", "Y", "--store", "S", "--select", "best"), "'active'"),
    ],
)
def test_what_can_not_be_selected_is_refused_and_nothing_is_written(
    scalaw, costed, simulated, tmp_path, arguments, words
):
    paths = {"T": costed, "Y": simulated, "S": tmp_path / "store"}
    answer = scalaw(*(paths.get(word, word) for word in arguments))
    assert answer.code == 2
    assert words in answer.err
    assert not list((tmp_path / "store").glob("**/*.json"))
