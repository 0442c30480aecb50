"""The pure core stays pure, and importing the package stays light."""

from __future__ import annotations

import subprocess
import sys

import grimp
import pytest

HEAVY = (
    "ray", "torch", "torchvision", "sklearn", "matplotlib", "duckdb", "pyarrow", "pydantic", "scipy", "numpy", "typer",
    "rich",
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has after running some code."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["scalaw", "orchestrator", "orchestrator.analysis", "orchestrator.submission"])
def test_importing_the_package_loads_nothing_heavy(package):
    assert not loaded_by(f"import {package}") & set(HEAVY)


@pytest.mark.parametrize(
    "code",
    [
        "from orchestrator.spec import load_sweep, json_schema; json_schema()",
        "from orchestrator import make_plan, load_sweep; make_plan(load_sweep('sweeps/quickstart.yaml'))",
        "from orchestrator import open_store; from orchestrator.store.sql import query",
        "from orchestrator import fit; import orchestrator.fitting.estimate, orchestrator.analysis.tables",
        "from orchestrator.analysis import answer, optimal, predict, status",
        "import scalaw; scalaw.select, scalaw.query, scalaw.fit_source",
        "import scalaw; scalaw.plot",
        "from orchestrator.cli.main import app",
    ],
    ids=["spec", "planning", "store", "fitting", "analysis", "facade", "reporting", "cli"],
)
def test_the_pure_core_loads_neither_ray_nor_torch(code):
    assert not loaded_by(code) & {"ray", "torch", "torchvision"}


def test_the_functions_of_the_contract_are_there_and_a_wrong_name_says_so():
    import orchestrator

    for name in ("load_sweep", "make_plan", "run_sweep", "open_store", "fit"):
        assert callable(getattr(orchestrator, name))
    with pytest.raises(AttributeError, match="optimise"):
        _ = orchestrator.optimise


def circles(*packages: str, through: str) -> list[tuple[str, ...]]:
    """Return the circles through modules of a package; imports in functions and for type checks count as well."""
    graph = grimp.build_graph(*packages, cache_dir=None)
    found = []
    for module in sorted(name for name in graph.modules if name.partition(".")[0] == through):
        for imported in graph.find_modules_directly_imported_by(module):
            way_back = graph.find_shortest_chain(importer=imported, imported=module)
            if way_back:
                found.append((module, *way_back))
    return found


def test_no_modules_import_each_other_in_a_circle():
    assert circles("orchestrator", "workers", through="orchestrator") == []
    assert circles("orchestrator", "workers", through="workers") == []


def test_a_circle_is_seen_where_one_side_imports_inside_a_function_and_the_other_for_types(tmp_path, monkeypatch):
    package = tmp_path / "round_and_round"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text("def f():\n    from round_and_round import two\n    return two\n")
    (package / "two.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from round_and_round.one import f\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert circles("round_and_round", through="round_and_round") == [
        ("round_and_round.one", "round_and_round.two", "round_and_round.one"),
        ("round_and_round.two", "round_and_round.one", "round_and_round.two"),
    ]
