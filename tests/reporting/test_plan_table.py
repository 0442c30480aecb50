"""What ``scalaw plan`` shows."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from orchestrator.planning import make_plan
from orchestrator.reporting.plan_table import plan_table


def facts(document: dict[str, Any]) -> dict[str, str]:
    """The rendered table as name to value."""
    output = io.StringIO()
    Console(file=output, width=120).print(plan_table(document))
    lines = [line.strip().split("  ", 1) for line in output.getvalue().splitlines() if "  " in line.strip()]
    return {name: value.strip() for name, value in lines}


@pytest.fixture
def document(sweep) -> dict[str, Any]:
    return make_plan(sweep(overrides=["model.stage_s=10", "resources.workers=1"])).to_json()


def test_the_plan_shows_what_will_be_done(document: dict[str, Any]) -> None:
    shown = facts(document)
    assert shown["cells"] == "27"
    kinds = {"pretrained": 3, "compressed": 24}
    assert facts(document | {"cells_by_kind": kinds})["cells"] == "27 (3 pretrained, 24 compressed)"
    assert shown["stages"].startswith(f"{document['stages']} (")
    assert shown["parameters N"] == "1,000 … 10,000 (3 sizes)"
    assert shown["data D"] == "100,000 … 1,000,000 (3 sizes) in examples of simulated"
    assert shown["training FLOPs"] == (
        f"{document['flops_planned']:.3g}, each cell alone {document['flops_naive']:.3g}"
    )
    assert shown["sharing ratio"] == f"{document['flops_naive'] / document['flops_planned']:.2f}"


@pytest.mark.parametrize(
    ("hours", "shown"),
    [
        (0.0, "0.0 seconds"),
        (0.01, "36.0 seconds"),
        (0.5, "30.0 minutes"),
        (1.0, "1.0 hours"),
        (2000.0, "2,000.0 hours"),
    ],
)
def test_time_is_told_in_the_unit_that_fits(document: dict[str, Any], hours: float, shown: str) -> None:
    assert (
        facts(document | {"est_hours": hours})["time"]
        == f"{shown} on 1 worker (estimate, Ray's start and the fit left out)"
    )


@pytest.mark.parametrize(
    ("price", "shown"),
    [(0.0, "0 (no GPU hours with a price)"), (0.001, "below 0.01 (estimate)"), (1234.5, "1,234.50 (estimate)")],
)
def test_a_price_is_never_rounded_to_nothing(document: dict[str, Any], price: float, shown: str) -> None:
    assert facts(document | {"est_price": price})["price"] == shown


def test_a_single_size_is_no_range_and_tokens_are_named(document: dict[str, Any]) -> None:
    shown = facts(document | {"params": [6300], "tokens_per_example": 64})
    assert shown["parameters N"] == "6,300"
    assert "in examples of 64 tokens of simulated" in shown["data D"]
