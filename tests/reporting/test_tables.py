"""What a person reads after a fit or a query."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
from rich.console import Console

from orchestrator.fitting import FitReport, fit
from orchestrator.reporting.tables import fit_table, records_table


def rendered(renderable: Any, width: int = 100) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(renderable)
    return output.getvalue()


def line_with(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_each_parameter_stands_with_its_value_and_interval(report: FitReport) -> None:
    text = rendered(fit_table(report))
    for name, estimate in report.fits["product"].params.items():
        line = line_with(text, name)
        assert f"{estimate.value:.4g}" in line
        assert f"[{estimate.lo:.4g}, {estimate.hi:.4g}]" in line
    assert "loss fitted to 60 rows" in text
    assert f"{report.fits['product'].held_out_rmse_log:.4g}" in text


def test_the_best_law_alone_is_marked(runs) -> None:
    text = rendered(fit_table(fit(runs(), laws=["product", "chinchilla"], bootstrap=0)))
    assert text.count("(best)") == 1
    assert "product (best)" in text
    assert "[" not in text, "without a bootstrap there are no intervals"


def test_an_unidentified_parameter_has_no_number_but_a_reason(runs) -> None:
    table = runs().append_column("eps", pa.array(runs()["n"].to_numpy() ** 0.5))
    text = rendered(fit_table(fit(table, laws=["product"], bootstrap=50)))
    assert line_with(text, "alpha").split()[-2:] == ["not", "identified"]
    assert "add cells where eps changes at fixed n" in " ".join(text.split())


def test_a_terminal_of_80_columns_loses_no_number(report: FitReport) -> None:
    text = rendered(fit_table(report), width=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    for estimate in report.fits["product"].params.values():
        assert f"[{estimate.lo:.4g}, {estimate.hi:.4g}]" in text


def test_a_report_without_fits_says_so_and_why(runs) -> None:
    text = rendered(fit_table(fit(runs(n=[1e3], d=[1e5, 3e5], e=[1.0]))))
    assert text.startswith("no law fitted")
    assert "product is left out" in text


def test_records_keep_their_columns_and_numbers() -> None:
    records = [
        {"name": "[red]a[/red]", "count[x]": None, "loss": 0.123456789},
        {"name": None, "count[x]": 1_234_567, "loss": 2.0},
    ]
    text = rendered(records_table(records))
    assert "[red]a[/red]" in text, "values are text, not markup"
    assert line_with(text, "count[x]").split() == ["name", "count[x]", "loss"]
    assert "0.123457" in text
    assert "1234567" in text
    assert "None" not in text


def test_numbers_stand_to_the_right_even_below_an_empty_cell() -> None:
    lines = rendered(records_table([{"n": None, "s": "a"}, {"n": 5, "s": "b"}, {"n": 1000, "s": "c"}])).splitlines()
    assert [line.rstrip() for line in lines if line.strip().endswith(("b", "c"))] == ["    5   b", " 1000   c"]


def test_no_records_read_no_rows() -> None:
    assert rendered(records_table([])) == "no rows\n"


def test_records_that_are_wider_than_a_line_stand_one_below_the_other_with_every_value_whole() -> None:
    records = [{f"column_{k}": 10**k for k in range(20)} | {"cell_id": "ab" * 32} for _ in range(2)]
    text = rendered(records_table(records, 100))
    assert text.count("ab" * 32) == 2
    assert line_with(text, "column_19 ").split() == ["column_19", str(10**19)]
    assert "column_1 " not in line_with(text, "column_0 ")
    assert len(rendered(records_table([{"a": 1, "b": 2}], 100)).strip().splitlines()) == 3
