"""Flags are named in ``cli`` alone: below it sentences name parameters, and a person at a terminal reads flags."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from typer.main import get_command

import scalaw as facade
from orchestrator.analysis.inputs import gather
from orchestrator.cli.job import words
from orchestrator.cli.main import app
from orchestrator.cli.wording import flags_of
from orchestrator.errors import BadInput
from orchestrator.submission.order import JobOrder

ROOT = Path(__file__).parents[2]


def own_flags():
    """Return every long flag of every verb."""
    verbs = get_command(app).commands.values()
    return {flag for verb in verbs for p in verb.params for flag in (*p.opts, *p.secondary_opts) if flag[:2] == "--"}


def test_no_flag_of_ours_is_named_below_the_command_line():
    flags = sorted(own_flags(), key=len, reverse=True)
    named = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, flags))})(?![\w-])")
    found = []
    for room in ("orchestrator", "workers", "scalaw"):
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith("orchestrator/cli/"):
                lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
                of_others = ("nvidia-smi",)  # other commands have flags of the same names
                found += [
                    f"{name}:{number}: {line.strip()}"
                    for number, line in lines
                    if named.search(line) and not any(command in line for command in of_others)
                ]
    assert not found


def test_a_refusal_names_the_parameter_in_python_and_the_flag_at_a_terminal(scalaw, runs_csv):
    with pytest.raises(BadInput, match=r"^`mapping` 'n': 'n' is not NAME=COLUMN"):
        gather(str(runs_csv), mapping="n")
    assert scalaw("fit", runs_csv, "--map", "n").err.startswith("scalaw: --map 'n': 'n' is not NAME=COLUMN")


def test_a_warning_names_the_flag_on_stderr_and_in_the_document(scalaw, runs_csv):
    common = ("predict", runs_csv, "--map", "n=size,d=tok,loss=l", "--law", "chinchilla", "--n", "1e15", "--d", "64B")
    answer = scalaw(*common, "--json")
    for said in (answer.document["warnings"][0], answer.err.removeprefix("warning: ")):
        assert said.startswith("--n 1e+15 lies far outside the rows")


#: Verbs, their functions, and parameters that are filled otherwise than by a flag.
FUNCTIONS = {
    "plan": ("make_plan", "load_sweep", {"path", "remembered"}),
    "run": ("run_sweep", {"console"}),
    "submit": ("submit", {"path", "tell"}),
    "list": ("jobs", set()),
    "status": ("status", set()),
    "logs": ("logs", set()),
    "stop": ("stop", {"tell"}),
    "fit": ("fit_source", "compare_groups", set()),
    "query": ("query", set()),
    "predict": ("predict", set()),
    "optimal": ("optimal", set()),
    "select": ("select", set()),
    "plot": ("plot", set()),
    "export": ("export", {"tell"}),
    "gc": ("gc", {"ask", "tell"}),
    "doctor": ("doctor", set()),
}


@pytest.mark.parametrize("verb", sorted(FUNCTIONS))
def test_a_verb_and_its_functions_call_a_parameter_alike(verb):
    """Else what a function says of it would reach the terminal as it is."""
    *names, otherwise = FUNCTIONS[verb]
    known = {parameter.name for parameter in get_command(app).commands[verb].params}
    taken = {parameter for name in names for parameter in inspect.signature(getattr(facade, name)).parameters}
    assert taken - otherwise <= known


def test_each_verb_has_its_own_names_for_a_parameter():
    verbs = get_command(app).commands
    assert flags_of(verbs["fit"])["sweep"] == "--sweep"
    assert flags_of(verbs["plan"])["sweep"] == "SWEEP"
    assert flags_of(verbs["plot"])["output"] == "--output"
    assert flags_of(verbs["status"])["store"] == "STORE"
    assert flags_of(verbs["run"])["store"] == "--store"


def test_what_is_no_parameter_stays_as_it_is_written(scalaw, tmp_path):
    assert "`nothing_of_ours`.csv: no such file" in scalaw("fit", tmp_path / "`nothing_of_ours`.csv").err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, []),
        ({"share": False, "retry_failed": True}, ["--no-share", "--retry-failed"]),
        ({"budget_fraction": 0.123456789}, ["--select", "active", "--budget-fraction", "0.123456789"]),
        ({"keep_weights": ["ab12", "cd"]}, ["--keep-weights", "ab12", "--keep-weights", "cd"]),
        ({"overrides": ["seed=5"]}, ["--set", "seed=5"]),
    ],
)
def test_an_order_becomes_the_words_of_run(asked, said):
    usual = {"overrides": [], "share": True, "retry_failed": False, "budget_fraction": None}
    order = JobOrder(file="x.yaml", text="", store="s3://b", proof=None, python="3.11", **{**usual, **asked})
    assert words(JobOrder.from_text(order.to_text()), "x.yaml") == [
        "run", "x.yaml", "--store", "s3://b", "--address", "auto", *said,
    ]  # fmt: skip
