"""The frozen surface: verbs, flags and exit codes that scripts rely on."""

from __future__ import annotations

import pytest

from orchestrator import __version__
from orchestrator.cli.main import app
from orchestrator.errors import BadInput, Interrupted, ScalawError, Unreachable

#: Which rows and columns of a store or table count; every verb that fits has them.
SOURCE = {
    "--map", "--where", "--drop-empty", "--envelope", "--group", "--decimal", "--task", "--recipe", "--sweep", "--json",
}  # fmt: skip
FLAGS = {
    "init": {"--program", "--json"},
    "plan": {"--share", "--no-share", "--set", "--plugin", "--program", "--json"},
    "run": {
        "--store", "--address", "--share", "--no-share", "--retry-failed", "--select", "--budget-fraction",
        "--keep-weights", "--dashboard", "--no-dashboard", "--set", "--plugin", "--program", "--json",
    },
    "submit": {
        "--store", "--address", "--wait", "--share", "--no-share", "--retry-failed", "--select", "--budget-fraction",
        "--keep-weights", "--working-dir", "--exclude", "--set", "--plugin", "--program", "--json",
    },
    "tokenize": {
        "--out", "-o", "--tokenizer", "--train-vocab", "--end-of-text", "--column", "--held-out", "--processes",
        "--check", "--json",
    },
    "list": {"--address", "--json"},
    "status": {"--sweep", "--json"},
    "logs": {"--address", "--follow", "-f", "--sweep", "--json"},
    "stop": {"--address", "--sweep", "--json"},
    "fit": {
        "--law", "--target", "--hold-out", "--bootstrap", "--noise", "--resample", "--by", "--fix", "--format",
        *SOURCE,
    },
    "query": {"--sweep", "--limit-rows", "--json"},
    "predict": {
        "--n", "--d", "--e", "--ft-d", "--ft-e", "--eps", "--law", "--level", "--target", *SOURCE,
    },
    "optimal": {
        "--flops", "--served-tokens", "--epochs-max", "--d-max", "--law", "--curve", "--max-bytes", "--max-latency",
        "--loss", "--n", "--d", "--target", *SOURCE,
    },
    "select": {
        "--cost", "--predict", "--budget-fraction", "--target-interval", "--target", "--seed", *SOURCE,
    },
    "plot": {"-o", "--output", "--kind", "--law", "--target", *SOURCE},
    "export": {"-o", "--out", "--plugin", "--program", "--json"},
    "gc": {"--sweep", "--weights", "--yes", "--dry-run", "--json"},
    "schema": {"--json"},
    "program": set(),
    "store": set(),
    "plugin": set(),
    "doctor": {"--store", "--address", "--json"},
}  # fmt: skip


def test_verbs_and_flags_are_those_that_scripts_know():
    from typer.main import get_command

    root = get_command(app)
    assert {flag for p in root.params for flag in p.opts} - {"--help", "-h"} == {"--version"}
    commands = root.commands
    flags = {
        name: {flag for p in command.params if p.param_type_name == "option" for flag in (*p.opts, *p.secondary_opts)}
        - {"--help", "-h"}
        for name, command in commands.items()
    }
    assert flags == FLAGS


def test_the_version_is_that_of_the_package(scalaw):
    answer = scalaw("--version")
    assert (answer.code, answer.out, answer.err) == (0, f"scalaw {__version__}\n", "")


def test_exit_codes_are_those_that_scripts_know():
    assert (ScalawError.exit_code, BadInput.exit_code, Unreachable.exit_code) == (1, 2, 3)
    assert Interrupted.exit_code == 130


GROUPS = {"store", "plugin", "program"}


@pytest.mark.parametrize("verb", sorted({*FLAGS, "store check", "plugin check", "program check"} - GROUPS))
def test_every_verb_has_help_with_an_example(scalaw, verb):
    answer = scalaw(*verb.split(), "--help")
    assert answer.code == 0
    assert f"Example: scalaw {verb}" in " ".join(answer.out.split())


@pytest.mark.parametrize(
    "arguments", [("plan",), ("plan", "a", "--jsn"), ("nothing",), ("run", "a.yaml"), ("predict",), ("--versoin",)]
)
def test_wrong_usage_ends_with_two_in_one_line(scalaw, arguments):
    answer = scalaw(*arguments)
    assert answer.code == 2
    assert answer.err.startswith("scalaw: ")
    assert answer.err.endswith(" -h\n")
    assert answer.err.count("\n") == 1
