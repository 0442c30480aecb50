"""The law that docs/laws.md writes down works as it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.errors import BadInput
from orchestrator.fitting import fit
from orchestrator.spec.registries import LAWS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "laws.md"


@pytest.fixture
def compute():
    """Run the page's Python, which puts the law ``compute`` into the registry, and take it out again."""
    namespace: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, namespace)
    yield namespace["Compute"]
    LAWS.added.clear()


def test_the_law_of_the_page_recovers_its_parameters_beside_ours(compute, grid):
    axes = grid(n=[1e6, 1e7, 1e8, 1e9], d=[1e8, 1e9, 1e10])
    noise = np.random.default_rng(0).normal(0, 1e-3, axes["n"].size)
    table = pa.table({**axes, "loss": (1.8 + 40 * (axes["n"] * axes["d"]) ** -0.12) * np.exp(noise)})
    report = fit(table, laws=["compute", "chinchilla"], bootstrap=100)
    found = report.fits["compute"].params
    assert found["E"].value == pytest.approx(1.8, rel=0.02)
    assert found["kappa"].value == pytest.approx(0.12, rel=0.05)
    assert found["kappa"].lo < 0.12 < found["kappa"].hi
    assert report.best.law == "compute"
    assert "compute" in fit(table, bootstrap=0).fits


def test_its_slopes_and_units_are_right(compute, grid):
    law, axes = compute(), grid(n=[1e6, 1e7], d=[1e8, 1e9, 1e10])
    params = np.array([1.8, 40.0, 0.12])
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-6 * params[k]
        numeric = (law.predict(params + step, axes) - law.predict(params - step, axes)) / (2 * step[k])
        np.testing.assert_allclose(law.gradient(params, axes)[:, k], numeric, rtol=1e-6)
    coords = law.to_coords(params, axes)[None]
    moved = law.from_coords(law.shift(coords, {"n": np.log(1e6), "d": np.log(1e9)}, np.log(2.0)), axes)[0]
    again = {"n": axes["n"] * 1e6, "d": axes["d"] * 1e9}
    np.testing.assert_allclose(law.predict(moved, again), 2.0 * law.predict(params, axes), rtol=1e-12)


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(BadInput, match="there is a law 'chinchilla' already; take another name"):
        LAWS.add("chinchilla", object)
