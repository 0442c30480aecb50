"""``scalaw optimal`` and ``plot --kind compression``: their JSON, their words, and what they refuse."""

from __future__ import annotations

import pytest

MAPPING = ("--map", "n=size,d=tok,loss=l")


def closed_form(flops: float) -> float:
    """N* of the table in ``runs_csv``."""
    a, b, alpha, beta = 400, 900, 0.34, 0.36
    return (alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))


def test_a_noise_free_table_gives_the_closed_form_as_json(scalaw, runs_csv):
    answer = scalaw("optimal", runs_csv, *MAPPING, "--law", "chinchilla", "--flops", "1e20", "--json")
    assert answer.code == 0
    document = answer.document
    assert document["law"] == "chinchilla"
    assert document["flops"] == 1e20
    assert (document["flops_per_nde"], document["flops_per_nde_from"]) == (6.0, "6ND")
    assert document["n"]["value"] == pytest.approx(closed_form(1e20), rel=1e-4)
    assert 6 * document["n"]["value"] * document["d"]["value"] * document["e"]["value"] == pytest.approx(1e20)
    for name in ("n", "d", "e", "loss"):
        assert document[name]["lo"] <= document[name]["value"] * (1 + 1e-9)
        assert document[name]["value"] <= document[name]["hi"] * (1 + 1e-9)
    assert document["d_means"] == "seen"
    assert isinstance(document["warnings"], list)


def test_the_loss_is_what_predict_says_there(scalaw, runs_csv):
    common = (*MAPPING, "--law", "chinchilla", "--json")
    found = scalaw("optimal", runs_csv, *common, "--flops", "1e20").document
    at = ("--n", found["n"]["value"], "--d", found["d"]["value"])
    predicted = scalaw("predict", runs_csv, *common, *at).document
    assert [found["loss"][k] for k in ("value", "lo", "hi")] == pytest.approx(
        [predicted[k] for k in ("value", "lo", "hi")]
    )


@pytest.mark.slow
def test_a_curve_spans_a_decade_either_side(scalaw, runs_csv):
    common = ("optimal", runs_csv, *MAPPING, "--law", "chinchilla", "--flops", "1e20")
    curve = scalaw(*common, "--curve", "--json").document["curve"]
    assert len(curve) == 9
    assert (curve[0]["flops"], curve[4]["flops"], curve[8]["flops"]) == pytest.approx((1e19, 1e20, 1e21))
    for point in curve:
        assert point["n"]["value"] == pytest.approx(closed_form(point["flops"]), rel=1e-4)


def test_a_store_tells_what_a_token_costs(scalaw, measured_store):
    document = scalaw("optimal", measured_store, "--flops", "1e11", "--law", "chinchilla", "--json").document
    assert document["flops_per_nde"] == pytest.approx(9.0)
    assert document["flops_per_nde_from"] == "store"
    assert 9 * document["n"]["value"] * document["d"]["value"] == pytest.approx(1e11)
    assert document["d_means"] == "unique tokens"
    assert "it doesn't know compression: 27 compressed rows are left out" in document["warnings"]


def test_a_person_reads_the_optimum_and_its_curve(scalaw, measured_store):
    text = scalaw("optimal", measured_store, "--flops", "1e11", "--law", "chinchilla", "--curve").out
    assert "best use of 1e+11 FLOPs by the chinchilla law (training costs 9·n·d·e)" in text
    assert "unique tokens" in text
    assert "1.78e+11" in text


def test_serving_and_scarce_data_move_the_optimum(scalaw, measured_store):
    common = ("optimal", measured_store, "--flops", "1e11", "--law", "chinchilla", "--json")
    plain = scalaw(*common).document
    served = scalaw(*common, "--served-tokens", "2M").document
    n, d = served["n"]["value"], served["d"]["value"]
    assert n < plain["n"]["value"]
    assert 9 * n * d + 3 * n * 2e6 == pytest.approx(1e11)
    scarce = scalaw(*common, "--d-max", "100k", "--epochs-max", "2").document
    assert plain["d"]["value"] > 200_000, "so that both caps bind"
    assert [scarce[name]["value"] for name in "nde"] == pytest.approx([1e11 / 9 / 200_000, 100_000, 2])


def test_the_default_law_is_one_that_has_an_optimum(scalaw, measured_store):
    document = scalaw("optimal", measured_store, "--flops", "1e11", "--json").document
    assert document["law"] not in ("product", "product_floor")


@pytest.mark.parametrize("law", ["product", "product_floor"])
def test_a_law_without_an_optimum_is_refused_in_one_sentence(scalaw, measured_store, law):
    answer = scalaw("optimal", measured_store, "--flops", "1e11", "--law", law)
    assert answer.code == 2
    assert f"{law} has no optimum inside a compute budget" in answer.err
    assert "such as chinchilla or data_constrained" in answer.err
    assert answer.out == ""


def test_the_best_measured_cell_within_bytes_and_the_runner_up(scalaw, measured_store):
    document = scalaw("optimal", measured_store, "--max-bytes", "130k", "--json").document
    best, second = document["best"], document["runner_up"]
    assert (best["n"], best["d"], best["e"], best["compression"]) == (160_000, 1_600_000, 1, "4 bits")
    assert best["model_bytes"] == 128_000
    assert best["latency_p50_s"] == pytest.approx(2.1e-3 * 4)
    assert best["loss"] == pytest.approx(1.5 + 60 / 160_000**0.4 + 60 / 1.6e6**0.3 + 0.05)
    assert len(best["cell_id"]) == 64
    assert (second["n"], second["d"], second["compression"]) == (40_000, 1_600_000, "4 bits")
    assert second["loss"] > best["loss"]
    assert document["task"] == "text"


def test_bytes_and_latency_limit_together(scalaw, measured_store):
    common = ("optimal", measured_store, "--json")
    fast = scalaw(*common, "--max-latency", "0.002").document["best"]
    assert (fast["n"], fast["compression"]) == (40_000, "structured, density 0.5")
    both = scalaw(*common, "--max-latency", "0.002", "--max-bytes", "50k").document["best"]
    assert (both["n"], both["compression"]) == (10_000, None)
    assert "4 bits" in scalaw("optimal", measured_store, "--max-bytes", "130k").out


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (("--max-bytes", "100"), "the smallest model_bytes is 4,000 bytes, the limit 100"),
        (("--max-latency", "1e-6"), "the smallest latency_p50_s is 0.001 s, the limit 1e-06"),
        (
            ("--max-bytes", "5k", "--max-latency", "0.0015"),
            "the smallest model_bytes within latency_p50_s 0.0015 is 20,000 bytes, the limit 5,000; "
            "the smallest latency_p50_s within model_bytes 5000 is 0.0021 s, the limit 0.0015",
        ),
        (("--max-bytes", "1", "--max-latency", "1e-9"), "each by itself: model_bytes 4,000 bytes, latency_p50_s 0.001"),
    ],
)
def test_limits_that_nothing_fits_name_the_smallest_there_is(scalaw, measured_store, limits, words):
    answer = scalaw("optimal", measured_store, *limits)
    assert answer.code == 2
    assert words in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say what is limited"),
        (("--flops", "1e12", "--max-bytes", "1k"), "say what is limited"),
        (("--flops", "lots"), "--flops expected a number"),
        (("--flops", "0"), "--flops must be above 0"),
        (("--flops", "1e12", "--served-tokens", "-1"), "--served-tokens must be above 0"),
        (("--flops", "1e12", "--law", "chinchila"), "chinchilla"),
        (("--flops", "3"), "--flops 3 is too small"),
        (("--max-bytes", "1k", "--task", "nothing"), "tasks there: text"),
    ],
)
def test_what_makes_no_question_is_refused(scalaw, measured_store, arguments, words):
    answer = scalaw("optimal", measured_store, *arguments)
    assert answer.code == 2
    assert words in answer.err


def test_limits_of_inference_are_for_stores(scalaw, runs_csv):
    answer = scalaw("optimal", runs_csv, "--max-bytes", "1k")
    assert answer.code == 2
    assert "is a table" in answer.err


def test_plot_compression_writes_a_figure_and_names_the_frontiers(scalaw, measured_store, tmp_path):
    path = tmp_path / "c.png"
    document = scalaw("plot", measured_store, "--kind", "compression", "-o", path, "--json").document
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert document["kind"] == "compression"
    best = scalaw("optimal", measured_store, "--max-bytes", "1G", "--json").document["best"]
    assert document["frontiers"]["model_bytes"][-1] == best["cell_id"]
    assert document["frontiers"]["latency_p50_s"][-1] == best["cell_id"]
    wrong = scalaw("plot", measured_store, "--kind", "compression", "--law", "product", "-o", path)
    assert wrong.code == 2
    assert "--kind law" in wrong.err
