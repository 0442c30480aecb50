"""Verbs that need no cluster: what they print and what they refuse."""

from __future__ import annotations

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def test_init_writes_a_sweep_that_plans_and_never_overwrites(scalaw, tmp_path):
    assert scalaw("init", tmp_path / "new").code == 0
    assert scalaw("plan", tmp_path / "new/sweep.yaml", "--json").document["cells"] > 0
    again = scalaw("init", tmp_path / "new")
    assert again.code == 2
    assert "there already" in again.err


def test_plan_prints_the_contract_as_json_and_a_table_for_people(scalaw, simulated):
    document = scalaw("plan", simulated, "--json").document
    assert document["cells"] == 27
    assert document.keys() >= {
        "cells", "stages", "flops_naive", "flops_planned", "sharing_ratio", "est_hours", "est_price",
    }  # fmt: skip
    table = scalaw("plan", simulated).out
    assert "sharing ratio" in table
    assert "27" in table


def test_plan_takes_overrides(scalaw, simulated):
    assert scalaw("plan", simulated, "--set", "grid.epochs=[1, 2]", "--json").document["cells"] == 18
    wrong = scalaw("plan", simulated, "--set", "grid.epoch=1")
    assert wrong.code == 2
    assert "epochs" in wrong.err


def test_schema_is_a_json_schema(scalaw):
    jsonschema.Draft202012Validator.check_schema(scalaw("schema").document)


@pytest.mark.parametrize(
    ("line", "words"), [("grdi: 1", "grid"), ("seed: 1", "seed"), ("\tx: 1", "tab")], ids=["key", "twice", "tab"]
)
def test_a_bad_sweep_is_refused_with_its_line_and_nothing_is_written(scalaw, simulated, tmp_path, line, words):
    simulated.write_text(simulated.read_text() + line + "\n")
    answer = scalaw("run", simulated, "--store", tmp_path / "never")
    assert answer.code == 2
    assert f"{simulated}:10" in answer.err
    assert words in answer.err.lower()
    assert not (tmp_path / "never").exists()


def test_fit_takes_anybodys_csv(scalaw, runs_csv):
    answer = scalaw(
        "fit", runs_csv, "--map", "n=size,d=tok,loss=l", "--law", "chinchilla", "--bootstrap", "50", "--json"
    )
    params = answer.document["fits"]["chinchilla"]["params"]
    assert params["alpha"]["value"] == pytest.approx(0.34, abs=1e-3)
    assert params["E"]["value"] == pytest.approx(1.7, abs=1e-2)
    assert answer.document["best"] == "chinchilla"
    table = scalaw("fit", runs_csv, "--map", "n=size,d=tok,loss=l", "--law", "chinchilla", "--bootstrap", "50").out
    assert "alpha" in table


@pytest.mark.parametrize(
    ("rows", "mapping", "words"),
    [
        ("n,d\n1,2\n", None, "loss"),
        ("n,d,loss\n1,2,0\n", None, "loss"),
        ("n,d,loss\n1,2,-1\n", None, "loss"),
        ("n,d,loss\n1,2,nan\n", None, "loss"),
        ("n,d,loss\n1,2,x\n", None, "loss"),
        ("n,d,loss\n1,2,3\n2,4,2.9\n", None, "rows"),
        ("n,d,loss\n", None, ""),
        ("size,d,loss\n1,2,3\n", "n=sise", "size"),
        ("n,d,loss\n1,2,3\n", "q=n", "q"),
        ("n,d,loss\n1,2,3\n", "n", "n"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(scalaw, tmp_path, rows, mapping, words):
    path = tmp_path / "t.csv"
    path.write_text(rows)
    answer = scalaw("fit", path, *(["--map", mapping] if mapping else []))
    assert answer.code == 2
    lines = [line for line in answer.err.strip().splitlines() if not line.startswith("warning")]
    assert len(lines) == 1
    assert words in lines[0]
    assert answer.out == ""


def test_one_distinct_size_has_no_exponent_for_it(scalaw, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n,d,loss\n" + "".join(f"1000,{d},{5 / d**0.2}\n" for d in (10, 20, 40, 80, 160)))
    answer = scalaw("fit", path, "--law", "chinchilla")
    assert answer.code == 2
    assert "n" in answer.err
    product = scalaw("fit", path, "--law", "product", "--json").document["fits"]["product"]
    assert product["params"]["beta"]["value"] == pytest.approx(0.2)
    assert product["params"].get("alpha", {"value": None})["value"] is None


def test_predict_and_plot_a_table(scalaw, runs_csv, tmp_path):
    mapping = ("--map", "n=size,d=tok,loss=l")
    document = scalaw(
        "predict", runs_csv, *mapping, "--n", "1B", "--d", "64B", "--law", "chinchilla", "--json"
    ).document
    truth = 1.7 + 400 / 1e9**0.34 + 900 / 6.4e10**0.36
    assert document["value"] == pytest.approx(truth, rel=1e-3)
    assert document["lo"] <= document["value"] <= document["hi"]
    assert not any("far outside" in warning for warning in document["warnings"])
    far = scalaw("predict", runs_csv, *mapping, "--n", "1e15", "--d", "64B", "--law", "chinchilla", "--json").document
    assert far["warnings"][0].startswith("--n 1e+15 lies far outside the rows")
    assert scalaw("plot", runs_csv, *mapping, "--law", "chinchilla", "-o", tmp_path / "f.png").code == 0
    assert (tmp_path / "f.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("point", [("--n", "x", "--d", "1"), ("--n", "0", "--d", "1"), ("--n", "-5", "--d", "1")])
def test_predict_refuses_what_is_no_size(scalaw, runs_csv, point):
    answer = scalaw("predict", runs_csv, "--map", "n=size,d=tok,loss=l", *point)
    assert answer.code == 2
    assert "--n" in answer.err


@pytest.mark.parametrize(
    "verb", [("query", "S", "select 1"), ("status", "S"), ("fit", "S"), ("plot", "S", "-o", "f.png")]
)
def test_a_store_that_is_not_there_is_named(scalaw, tmp_path, verb):
    answer = scalaw(*(tmp_path / "nowhere" if word == "S" else word for word in verb))
    assert answer.code == 2
    assert "nowhere" in answer.err


def test_status_of_a_store_without_a_record_of_its_sweep_says_so(scalaw, measured_store):
    for path in measured_store.glob("sweeps/*/*"):
        path.unlink()
    answer = scalaw("status", measured_store)
    assert answer.code == 2
    assert "has rows of 36 cells, but no record of their sweep: run it again to write one" in answer.err


def test_a_store_path_that_is_a_file_is_refused_before_anything_starts(scalaw, simulated, tmp_path):
    (tmp_path / "file").write_text("x")
    assert scalaw("run", simulated, "--store", tmp_path / "file").code == 2
    below = scalaw("run", simulated, "--store", tmp_path / "file/below")
    assert below.code in (2, 3)
    assert (tmp_path / "file").read_text() == "x"


def test_predicting_along_an_axis_that_the_rows_lack_is_refused(scalaw, runs_csv):
    answer = scalaw("predict", runs_csv, "--map", "n=size,d=tok,loss=l", "--n", "1B", "--d", "1B", "--e", "2")
    assert answer.code == 2
    assert "the rows have no e" in answer.err


def test_a_worker_larger_than_the_machine_is_refused_and_nothing_is_written(scalaw, simulated, tmp_path):
    answer = scalaw("run", simulated, "--store", tmp_path / "never", "--set", "resources.cpus_per_worker=1000")
    assert answer.code == 2
    assert "resources.cpus_per_worker" in answer.err
    assert not (tmp_path / "never").exists()


def test_a_cluster_that_does_not_answer_is_unreachable_and_nothing_is_written(scalaw, simulated, tmp_path):
    answer = scalaw("run", simulated, "--store", tmp_path / "never", "--address", "127.0.0.1:9")
    assert answer.code == 3
    assert not (tmp_path / "never").exists()


def test_a_table_that_is_not_there_is_named(scalaw, tmp_path):
    answer = scalaw("fit", tmp_path / "nope.csv", "--map", "n=a")
    assert answer.code == 2
    assert "no such file" in answer.err


def test_hold_out_takes_words_and_fractions(scalaw, runs_csv):
    common = ("fit", runs_csv, "--map", "n=size,d=tok,loss=l", "--law", "chinchilla", "--bootstrap", "0", "--json")
    assert scalaw(*common, "--hold-out", "0.2").document["fits"]["chinchilla"]["held_out_rmse_log"] < 1e-3
    assert scalaw(*common, "--hold-out", "none").document["fits"]["chinchilla"]["held_out_rmse_log"] is None
    assert scalaw(*common, "--hold-out", "2").code == 2


def test_noise_and_resampling_are_chosen_by_flags(scalaw, runs_csv):
    common = ("fit", runs_csv, "--map", "n=size,d=tok,loss=l", "--law", "product", "--bootstrap", "50", "--json")
    plain = scalaw(*common).document["fits"]["product"]["params"]["alpha"]
    noisy = scalaw(*common, "--noise", "heteroscedastic").document["fits"]["product"]["params"]["alpha"]
    errors = scalaw(*common, "--resample", "residual").document["fits"]["product"]["params"]["alpha"]
    assert noisy["value"] != plain["value"]
    assert errors["value"] == plain["value"]
    assert errors["lo"] != plain["lo"]


def test_groups_of_a_table_compare_by_the_column_that_is_named(scalaw, tmp_path):
    path = tmp_path / "runs.csv"
    lines = [
        f"{n},{d},{recipe},{1.7 + 400 / n**0.34 + 900 / (worth * d) ** 0.36:.10f}"
        for recipe, worth in (("old", 1.0), ("new", 2.0))
        for n in (1e7, 1e8, 1e9)
        for d in (1e9, 4e9, 1.6e10)
    ]
    path.write_text("n,d,recipe,loss\n" + "\n".join(lines) + "\n")
    document = scalaw("fit", path, "--by", "recipe", "--bootstrap", "20", "--json").document["by"]
    factors = {(c["from"], c["to"]): c["data_factor"]["value"] for c in document["comparisons"]}
    assert 0.49 < factors["old", "new"] < 0.51
    shown = scalaw("fit", path, "--by", "recipe", "--bootstrap", "20").out
    assert "new reaches old's loss with 0.50×" in shown
    refused = scalaw("fit", path, "--by", "recipes")
    assert (refused.code, "did you mean 'recipe'?" in refused.err) == (2, True)


def test_a_fine_tuned_and_compressed_model_is_predicted(scalaw, tmp_path):
    path = tmp_path / "runs.csv"
    lines = [
        f"{n},{d},{ft},{eps},{3 * (n / 1e7) ** -0.1 * (d / 1e9) ** -0.05 * (ft / 1e3) ** -0.2 * eps**-0.3:.10f}"
        for n in (1e7, 1e8, 1e9)
        for d in (1e9, 4e9, 1.6e10)
        for ft in (1e3, 1e4, 1e5)
        for eps in (1.0, 0.5, 0.25)
    ]
    path.write_text("n,d,ft_d,eps,loss\n" + "\n".join(lines) + "\n")
    common = ("predict", path, "--n", "1e8", "--d", "4e9", "--law", "product")
    missing = scalaw(*common)
    assert (missing.code, "these rows are fine-tuned; say how much with --ft-d" in missing.err) == (2, True)
    whole = scalaw(*common, "--ft-d", "10k", "--json").document
    assert whole["eps"] == 1.0
    half = scalaw(*common, "--ft-d", "10k", "--eps", "0.5", "--json").document
    assert half["value"] / whole["value"] == pytest.approx(0.5**-0.3, rel=1e-4)
    assert scalaw(*common, "--ft-d", "10k", "--ft-e", "2").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "T", "--map", "n=size,d=tok,loss=l", "--task", "x"), "--task chooses among the rows of a store"),
        (("fit", "T", "--map", "n=size,d=tok,loss=l", "--recipe", "x"), "--recipe chooses among the rows of a store"),
        (("fit", "T", "--by", "tok", "--map", "n=size,d=tok,loss=l", "--law", "product"), "leave out --law"),
        (("optimal", "S", "--max-bytes", "130k", "--curve", "--d-max", "5"), "--d-max and --curve belong to --flops"),
        (("optimal", "S", "--flops", "1e12", "--epochs-max", "0.5"), "--epochs-max must be at least 1, not 0.5"),
        (("optimal", "gone.csv", "--flops", "1e12"), "gone.csv: no such file"),
        (("fit", "T"), "has no axis among n, d,"),
        (("fit", "T", "--map", "n=size"), "has no column 'loss' for the target: columns there: size, tok, l"),
    ],
)
def test_flags_without_effect_and_columns_not_there_are_refused(scalaw, runs_csv, measured_store, arguments, words):
    answer = scalaw(*({"T": runs_csv, "S": measured_store}.get(word, word) for word in arguments))
    assert answer.code == 2
    assert words in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--stroe", "x"), "scalaw: No such option: --stroe"),
        (("fit",), "scalaw: Missing argument 'STORE|TABLE'; see"),
        (("fti",), "scalaw: No such command 'fti'"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(scalaw, words, said):
    answer = scalaw(*words)
    assert answer.code == 2
    assert answer.err.startswith(said)
    assert answer.err.count("\n") == 1


def test_rows_that_stand_twice_in_a_table_are_pointed_out(scalaw, runs_csv):
    usual = ("--map", "n=size,d=tok,loss=l", "--law", "chinchilla", "--bootstrap", "0")
    assert "repeat another" not in scalaw("fit", runs_csv, *usual).err
    lines = runs_csv.read_text().splitlines()
    runs_csv.write_text("\n".join([*lines, *lines[1:4]]) + "\n")
    assert f"3 of {len(lines) + 2} rows repeat another to the last digit" in " ".join(
        scalaw("fit", runs_csv, *usual).err.split()
    )


def test_a_column_of_lists_is_refused_in_one_line(scalaw, tmp_path):
    pq.write_table(pa.table({"n": [[1.0], [2.0]], "d": [1.0, 2.0], "loss": [1.0, 2.0]}), tmp_path / "lists.parquet")
    answer = scalaw("fit", tmp_path / "lists.parquet")
    assert answer.code == 2
    assert "column n of lists.parquet holds list" in answer.err
    assert answer.err.count("\n") == 1
