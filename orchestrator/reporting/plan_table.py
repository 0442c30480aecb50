"""The plan of a sweep as a person reads it."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table


def plan_table(document: dict[str, Any]) -> Table:
    """Return the facts of ``scalaw plan`` in two columns."""
    table = Table(title=f"plan of {document['sweep']}", box=box.SIMPLE_HEAD, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    kinds = ", ".join(f"{count} {kind}" for kind, count in document["stages_by_kind"].items())
    examples = document["data_examples"]
    unit = document["tokens_per_example"]
    data = f"{examples[0]:,} … {examples[-1]:,} examples" + (f" of {unit} tokens" if unit else "")
    hours = document["est_hours"]
    for name, value in (
        ("cells", f"{document['cells']:,}"),
        ("stages", f"{document['stages']:,} ({kinds})"),
        ("parameters N", f"{document['params'][0]:,} … {document['params'][-1]:,} ({len(document['params'])} sizes)"),
        ("data D", f"{data} of {document['task']}"),
        ("training FLOPs", f"{document['flops_planned']:.3g}, each cell alone {document['flops_naive']:.3g}"),
        ("sharing ratio", f"{document['sharing_ratio']:.2f}"),
        ("evaluation FLOPs", f"{document['flops_evaluation']:.3g}"),
        (
            "time",
            f"{hours:.2f} hours on {document['workers']} workers (estimate)"
            if hours >= 1
            else f"{hours * 60:.1f} minutes on {document['workers']} workers (estimate)",
        ),
        ("price", f"{document['est_price']:.2f} (estimate)"),
    ):
        table.add_row(name, value)
    return table
