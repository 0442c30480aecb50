"""The plan of a sweep as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from orchestrator.planning.memory import in_words

#: What the estimate leaves out: seconds, mostly.
WITHOUT = "(estimate, Ray's start and the fit left out)"


def plan_table(document: dict[str, Any]) -> Table:
    """Return the facts of ``scalaw plan`` in two columns.

    Parameters
    ----------
    document
        From ``Plan.to_json``.
    """
    table = Table(title=f"plan of {document['sweep']}", box=box.SIMPLE_HEAD, show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in document["stages_by_kind"].items())
    unit = document["tokens_per_example"]
    context = f" of {unit} tokens" if unit else ""
    for name, value in (
        ("cells", f"{document['cells']:,}{_of_kinds(document['cells_by_kind'])}"),
        ("stages", f"{document['stages']:,} ({kinds})"),
        ("parameters N", _range(document["params"], "size")),
        ("data D", f"{_range(document['data_examples'], 'size')} in examples{context} of {document['task']}"),
        ("training steps", f"{document['steps_planned']:,}, each cell alone {document['steps_naive']:,}"),
        ("training FLOPs", f"{document['flops_planned']:.3g}, each cell alone {document['flops_naive']:.3g}"),
        ("sharing ratio", f"{document['sharing_ratio']:.2f}{_because(document.get('why_alone'))}"),
        *_schedules(document.get("flops_by_schedule")),
        ("evaluation FLOPs", f"{document['flops_evaluation']:.3g}"),
        ("time", f"{_duration(document['est_hours'])} on {_count(document['workers'], 'worker')} {WITHOUT}"),
        *_no_faster(document.get("critical_path_hours")),
        *_memory(document["est_memory_bytes"]),
        ("price", _price(document["est_price"])),
    ):
        table.add_row(name, Text(value))
    return table


def _of_kinds(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{count:,} {kind}' for kind, count in counts.items())})" if len(counts) > 1 else ""


def _because(why: str | None) -> str:
    return f" ({why})" if why else ""


def _schedules(flops: dict[str, int] | None) -> list[tuple[str, str]]:
    """What the grid costs under the schedules that share."""
    if not flops:
        return []
    return [("by schedule", ", ".join(f"{name} {value:.3g} FLOPs" for name, value in flops.items()))]


def _memory(size: int | None) -> list[tuple[str, str]]:
    return (
        [("memory", f"{in_words(size)} a worker in training (estimate, data and torch itself left out)")]
        if size
        else []
    )


def _no_faster(hours: float | None) -> list[tuple[str, str]]:
    return [] if hours is None else [("longest path", f"{_duration(hours)}, however many workers (estimate)")]


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _range(values: Sequence[int], thing: str) -> str:
    """``1,000 … 9,000 (3 sizes)``, or the only value."""
    if len(values) == 1:
        return f"{values[0]:,}"
    return f"{values[0]:,} … {values[-1]:,} ({_count(len(values), thing)})"


def _duration(hours: float) -> str:
    for unit, name in ((1.0, "hours"), (1 / 60, "minutes")):
        if hours >= unit:
            return f"{hours / unit:,.1f} {name}"
    return f"{hours * 3600:.1f} seconds"


def _price(price: float) -> str:
    if price == 0:
        return "0 (no GPU hours with a price)"
    return f"{price:,.2f} (estimate)" if price >= 0.005 else "below 0.01 (estimate)"
