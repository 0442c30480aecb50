"""``import scalaw``: its names are frozen, cost nothing until they are used, and say what they take."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import scalaw
from orchestrator import __version__

ROOT = Path(__file__).parents[1]
FUNCTIONS = {
    "batch_like", "check_plugin", "check_program", "compare_groups", "doctor", "export", "fit", "fit_source", "gc",
    "jobs", "json_schema", "load_sweep", "logs", "make_plan", "open_store", "optimal", "parse_sweep", "plot", "predict",
    "query", "read_program", "read_table", "run_sweep", "select", "status", "stop", "submit", "tokenize",
}  # fmt: skip
TYPES = {
    "BadInput", "BadOption", "Cell", "Comparison", "Compressor", "DataManifest", "Dataset", "Estimate", "Family",
    "FitReport", "Interrupted", "Law", "LawFit", "Metric", "ModelShape", "Optimizer", "Options", "Plan", "Program",
    "Recipe", "RunResult", "ScalawError", "Schedule", "Source", "SourceComparison", "SourceFit", "Stage", "StageTree",
    "Store", "Submission", "Sweep", "Unreachable",
}  # fmt: skip
#: Answers that are JSON-able documents.
DOCUMENTS = {"dict[str, Any]", "list[dict[str, Any]]"}


def test_the_names_are_those_that_scripts_know():
    assert set(scalaw.__all__) == FUNCTIONS | TYPES | {"__version__"}
    assert dir(scalaw) == sorted(scalaw.__all__)
    with pytest.raises(AttributeError, match="optimise"):
        _ = scalaw.optimise


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_each_function_resolves_and_says_what_it_takes(name):
    function = getattr(scalaw, name)
    assert inspect.isfunction(function)
    assert function.__doc__
    signature = inspect.signature(function)
    untyped = {(name, p.name) for p in signature.parameters.values() if "Any" in str(p.annotation)}
    assert not untyped
    assert inspect.Parameter.empty not in {p.annotation for p in signature.parameters.values()}
    assert signature.return_annotation in DOCUMENTS or "Any" not in str(signature.return_annotation)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_each_type_resolves(name):
    assert inspect.isclass(getattr(scalaw, name))
    assert getattr(scalaw, name).__name__ == name


def test_type_checkers_see_each_name_where_it_is_taken_from():
    tree = ast.parse((ROOT / "scalaw/__init__.py").read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in checked.body for alias in node.names}
    assert seen == scalaw._HOME
    assert (ROOT / "scalaw/py.typed").exists()


def test_parameters_of_the_verbs_come_by_name():
    positional = {name: [] for name in FUNCTIONS}
    for name in FUNCTIONS:
        for parameter in inspect.signature(getattr(scalaw, name)).parameters.values():
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                positional[name].append(parameter.name)
    assert {name: found for name, found in positional.items() if len(found) > 1} == {
        "export": ["store", "cell", "out"],
        "plot": ["source", "output"],
        "query": ["store", "sql"],
        "tokenize": ["paths", "out"],
    }


def test_importing_takes_no_time_and_loads_nothing_heavy():
    code = "import time; t = time.perf_counter(); import scalaw, sys; print(time.perf_counter() - t, *sys.modules)"
    ended = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    said = [one.stdout.split() for one in ended]
    assert min(float(words[0]) for words in said) < 0.3
    assert not {"ray", "torch", "numpy", "pydantic", "typer", "pyarrow"} & set(said[0])


def test_the_package_runs_as_the_command_and_has_one_version():
    ended = subprocess.run([sys.executable, "-m", "scalaw", "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"scalaw {scalaw.__version__}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert scalaw.__version__ == __version__ == project["version"]


def test_a_table_goes_through_the_functions_as_through_the_verbs(tmp_path):
    path = tmp_path / "runs.csv"
    rows = [(n, d, 1.7 + 400 / n**0.34 + 900 / d**0.36) for n in (1e7, 1e8, 1e9) for d in (1e9, 4e9, 1.6e10)]
    path.write_text("size,tok,l\n" + "".join(f"{n},{d},{loss:.10f}\n" for n, d, loss in rows))
    mapping = "n=size,d=tok,loss=l"
    report, warnings = scalaw.fit_source(str(path), laws=["chinchilla"], bootstrap=0, mapping=mapping)
    assert warnings == report.warnings
    assert report.best is not None
    assert report.best.params["alpha"].value == pytest.approx(0.34, abs=1e-3)
    found = scalaw.predict(str(path), n="1B", d=1.6e10, law="chinchilla", mapping=mapping)
    assert found["value"] == pytest.approx(rows[-1][2], rel=1e-3)
    best = scalaw.optimal(str(path), flops=1e20, law="chinchilla", mapping=mapping)
    assert 6 * best["n"]["value"] * best["d"]["value"] == pytest.approx(1e20)
    drawn = scalaw.plot(str(path), tmp_path / "f.svg", laws=["chinchilla"], mapping=mapping)
    assert (drawn["law"], Path(drawn["path"]).exists()) == ("chinchilla", True)
    with pytest.raises(scalaw.BadInput, match=r"^say what is limited: either `flops`, or `max_bytes`"):
        scalaw.optimal(str(path))


def test_a_sweep_is_planned_and_a_store_is_asked(simulated_yaml, tmp_path):
    plan = scalaw.make_plan(scalaw.parse_sweep(simulated_yaml))
    assert isinstance(plan, scalaw.Plan)
    store = scalaw.open_store(str(tmp_path / "store"), create=True)
    store.save_sweep("simulated", {"sweep": {}, "task": "simulated", "cells": [cell.id for cell in plan.cells]})
    assert scalaw.query(store, "select count(*) n from results") == [{"n": 0}]
    assert scalaw.query(str(tmp_path / "store"), "select count(*) n from results") == [{"n": 0}]
    (entry,) = scalaw.status(str(tmp_path / "store"))["sweeps"]
    assert (entry["sweep"], entry["done"], entry["missing"]) == ("simulated", 0, 27)
