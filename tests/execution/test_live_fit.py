"""The exponents that a running sweep shows."""

from __future__ import annotations

from itertools import product

import pytest

from orchestrator.execution.progress.live_fit import PART_ROWS, LiveFit


def rows(count, recipe="mine"):
    sizes = product(range(20), (1e3, 3e3, 1e4, 3e4), (1e5, 3e5, 1e6), (1, 2, 4))
    for seed, n, d, e in list(sizes)[:count]:
        yield {
            "status": "ok",
            "task": "simulated",
            "recipe": recipe,
            "seed": seed,
            "params_non_embedding": int(n),
            "data_examples": int(d),
            "epochs": e,
            "val_loss": 20 * n**-0.3 * d**-0.25 * e**-0.1,
        }


@pytest.mark.parametrize("count", [200, 2 * PART_ROWS, 2 * PART_ROWS + 100])
def test_exponents_are_those_of_all_rows_of_the_recipe_however_many_there_are(count):
    fit = LiveFit("loss", "mine")
    for mine, other in zip(rows(count), rows(count, "another"), strict=True):
        fit.add(mine)
        fit.add({**other, "val_loss": 1.0})
    said = fit.refit()
    assert fit.exponents["alpha"] == pytest.approx(0.3, abs=1e-6)
    assert fit.exponents["beta"] == pytest.approx(0.25, abs=1e-6)
    assert said.startswith("alpha 0.300 beta 0.250")


def test_little_is_known_of_few_rows():
    fit = LiveFit("loss", "mine")
    assert fit.refit() == ""
    for row in rows(5):
        fit.add(row)
    assert fit.refit() == ""
    assert fit.exponents == {}
