"""The pure core stays pure, and importing the package stays light."""

from __future__ import annotations

import subprocess
import sys

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
        "import scalaw; scalaw.predict, scalaw.optimal, scalaw.select, scalaw.query, scalaw.status, scalaw.fit_source",
        "import scalaw; scalaw.plot",
        "from orchestrator.cli.main import app",
    ],
    ids=["spec", "planning", "store", "fitting", "analysis", "reporting", "cli"],
)
def test_the_pure_core_loads_neither_ray_nor_torch(code):
    assert not loaded_by(code) & {"ray", "torch", "torchvision"}


def test_the_functions_of_the_contract_are_there_and_a_wrong_name_says_so():
    import orchestrator

    for name in ("load_sweep", "make_plan", "run_sweep", "open_store", "fit"):
        assert callable(getattr(orchestrator, name))
    with pytest.raises(AttributeError, match="optimise"):
        _ = orchestrator.optimise
