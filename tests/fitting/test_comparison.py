"""Groups under one law: known factors come back, and what can't be compared is refused."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from orchestrator.errors import BadInput
from orchestrator.fitting.comparison import fit_by

from .conftest import SHARED


def runs(
    grid, factors: dict[str, float], *, beta: dict[str, float] | None = None, noise: float = 0.003, seed: int = 1
) -> pa.Table:
    """5 x 5 runs a group, of which the data are worth ``factors``."""
    rng, parts = np.random.default_rng(seed), []
    for name, factor in factors.items():
        axes = grid(n=list(np.geomspace(1e6, 1e8, 5)), d=list(np.geomspace(1e7, 1e9, 5)))
        exponent = (beta or {}).get(name, 0.35)
        loss = 1.7 + 40 / axes["n"] ** 0.3 + 90 / (factor * axes["d"]) ** exponent
        scatter = np.exp(rng.normal(0, noise, loss.size))
        parts.append(pa.table({**axes, "loss": loss * scatter, "recipe": [name] * loss.size}))
    return pa.concat_tables(parts)


def test_known_worths_of_data_come_back_inside_their_intervals(grid):
    found = fit_by(runs(grid, {"a": 1.0, "b": 0.5, "c": 3.0}), "recipe", bootstrap=200)
    for (source, to), factor in found.factors.items():
        true = {"a": 1.0, "b": 0.5, "c": 3.0}[source] / {"a": 1.0, "b": 0.5, "c": 3.0}[to]
        assert factor.lo < true < factor.hi, (source, to)
        assert factor.hi / factor.lo < 1.6
    assert found.shared["alpha"].lo < 0.3 < found.shared["alpha"].hi
    assert found.shared["beta"].lo < 0.35 < found.shared["beta"].hi
    assert found.sharing_holds
    assert any(s.startswith("c reaches a's loss with 0.3") for s in found.sentences())
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(document["groups"]) == {"a", "b", "c"}
    assert len(document["comparisons"]) == 6


def test_noiseless_groups_give_their_law_to_the_digit(grid):
    found = fit_by(runs(grid, {"a": 1.0, "b": 0.5}, noise=0.0), "recipe", bootstrap=0)
    assert found.shared["beta"].value == pytest.approx(0.35, rel=1e-4)
    assert found.groups["a"]["E"].value == pytest.approx(1.7, rel=1e-4)
    assert found.factors["a", "b"].value == pytest.approx(2.0, rel=1e-3)
    assert found.factors["a", "b"].lo is None


def test_groups_whose_exponents_differ_are_told_apart(grid):
    found = fit_by(runs(grid, {"a": 1.0, "b": 1.0}, beta={"b": 0.22}, noise=0.001), "recipe", bootstrap=0)
    assert found.sharing_holds is False
    assert found.sentences()[-1].startswith("exponents differ between the groups")


def test_groups_with_the_same_exponents_are_seldom_told_apart_by_noise(grid):
    held = 0
    for seed in range(20):
        found = fit_by(runs(grid, {"a": 1.0, "b": 1.4}, noise=0.01, seed=seed), "recipe", bootstrap=0)
        held += bool(found.sharing_holds)
    assert held >= 17


def test_a_group_with_a_higher_floor_never_gets_there(grid):
    table = runs(grid, {"a": 1.0, "b": 1.0})
    worse = np.where(np.array(table["recipe"].to_pylist()) == "b", 1.5, 0.0)
    table = table.set_column(table.column_names.index("loss"), "loss", [np.asarray(table["loss"]) + worse])
    found = fit_by(table, "recipe", bootstrap=50)
    assert found.factors["a", "b"].value is None
    assert any(s.startswith("b never reaches a's loss by more data alone") for s in found.sentences())
    json.dumps(found.to_json(), allow_nan=False)


def test_published_corpora_share_their_exponents():
    path = SHARED / "gadre" / "runs.csv"
    if not path.exists():
        pytest.skip("the published runs are not beside this checkout")
    table = pyarrow.csv.read_csv(path)
    table = pa.table({"n": table["params"], "d": table["tokens"], "loss": table["loss_c4_val"], "by": table["dataset"]})
    found = fit_by(table, "by", bootstrap=0)
    assert found.sharing_holds
    assert found.shared_rmse_log < 0.0207  # the reference procedure with shared exponents
    assert found.shared["alpha"].value == pytest.approx(0.245, abs=0.005)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t, "no column 'corpus' for the groups"),
        (
            lambda t: t.append_column("corpus", pa.array(["x"] * t.num_rows)),
            "has 1 values; `by` compares 2 to 12 groups",
        ),
        (
            lambda t: t.append_column("corpus", pa.array(["x"] * (t.num_rows - 3) + ["y"] * 3)),
            r"group 'y' of corpus has 3 rows with 1 values of n and 3 of d; `by` needs 6 rows",
        ),
        (lambda t: t.append_column("corpus", t["recipe"]).drop_columns(["d"]), "needs the columns n and d"),
    ],
)
def test_what_can_not_be_compared_is_refused(grid, change, words):
    with pytest.raises(BadInput, match=words):
        fit_by(change(runs(grid, {"a": 1.0, "b": 0.5})), "corpus")
