"""Whether quality is a product in ε: the test that goes with every fit of compressed rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.fitting import fit, report_json
from orchestrator.fitting.separability import separability

#: Damage of each variant at the smallest model, and the share of bytes that it leaves.
VARIANTS = {"quantize 4": (0.02, 0.125), "quantize 3": (0.08, 0.094), "prune 0.5": (0.3, 0.53)}


def rows(*, by_n: float, by_d: float, noise: float = 0.0, seed: int = 1) -> pa.Table:
    """A grid of models, each with its variants, whose damage goes as N^by_n D^by_d."""
    rng = np.random.default_rng(seed)
    found = []
    for n in (1e4, 4e4, 1.6e5):
        for d in (1e5, 4e5, 1.6e6):
            for e in (1.0, 2.0):
                loss = 30 * n**-0.05 * d**-0.1 * e**-0.1
                found.append({"n": n, "d": d, "e": e, "eps": 1.0, "variant": None, "loss": loss})
                for variant, (damage, eps) in VARIANTS.items():
                    lost = damage * (n / 1e4) ** by_n * (d / 1e5) ** by_d * np.exp(noise * rng.standard_normal())
                    found.append({"n": n, "d": d, "e": e, "eps": eps, "variant": variant, "loss": loss * np.exp(lost)})
    return pa.Table.from_pylist(found)


def found_in(table: pa.Table):
    return fit(table, laws=["product"], bootstrap=300)


def test_damage_that_is_the_same_for_every_model_raises_few_alarms():
    alarms = []
    for seed in range(40):
        table = rows(by_n=0, by_d=0, noise=0.2, seed=seed)
        axes = {name: table[name].to_numpy() for name in ("n", "d", "e", "eps")}
        variants = table["variant"].to_pylist()
        found = separability(axes, table["loss"].to_numpy(), variants, bootstrap=200, seed=0)
        assert found.pairs == 3 * 18
        alarms.append(not found.separable)
    assert sum(alarms) <= 9  # one in ten is what is promised


def test_damage_that_grows_with_data_is_told_with_its_power():
    report = found_in(rows(by_n=-0.3, by_d=0.5, noise=0.2))
    apart = report.separability
    assert not apart.separable
    for axis, true in (("n", -0.3), ("d", 0.5)):
        value, lo, hi = apart.slopes[axis]
        assert lo < value < hi
        assert value == pytest.approx(true, abs=0.1)
    assert apart.verdict in report.warnings
    assert "it goes as data size D to the power 0." in apart.verdict
    document = report_json(report)["separability"]
    assert document["slopes"]["d"].keys() == {"value", "lo", "hi"}
    assert (document["separable"], document["pairs"]) == (False, 54)


def test_powers_come_back_from_rows_without_noise():
    value, lo, hi = found_in(rows(by_n=-0.3, by_d=0.5)).separability.slopes["d"]
    assert value == pytest.approx(0.5, abs=1e-9)
    assert hi - lo < 1e-6


def test_equal_shares_stand_for_variants_in_a_table_that_names_none():
    table = rows(by_n=-0.3, by_d=0.5).drop_columns(["variant"])
    assert found_in(table).separability.slopes["d"][0] == pytest.approx(0.5, abs=1e-9)


def test_nothing_is_said_where_the_rows_can_not_tell():
    table = rows(by_n=0, by_d=0.5)
    assert found_in(table.slice(0, 8)).separability is None  # one size, two points
    compressed = table.filter(pa.compute.not_equal(table["eps"], 1.0))
    assert found_in(compressed).separability is None  # no parent to compare with
    assert fit(table, laws=["product"], bootstrap=0).separability is None
    assert "separability" not in report_json(fit(table, laws=["product"], bootstrap=0))


def test_a_product_law_is_not_called_none_for_the_noise_of_shared_parents(grid):
    axes = grid(n=list(np.geomspace(1e5, 1e7, 4)), d=list(np.geomspace(1e6, 1e8, 4)), eps=[1.0, 0.5, 0.25, 0.125])
    loss = 3 * (axes["n"] / 1e6) ** -0.08 * (axes["d"] / 1e7) ** -0.08 * axes["eps"] ** -0.3
    for seed in range(12):
        noise = np.exp(np.random.default_rng(seed).normal(0, 0.005, loss.size))
        found = separability(axes, loss * noise, axes["eps"].tolist(), bootstrap=300, seed=0)
        assert found.separable, (seed, found.verdict)
