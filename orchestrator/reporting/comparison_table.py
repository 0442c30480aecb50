"""Groups of runs under one law, as a person reads them."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from orchestrator.fitting.comparison import Comparison
from orchestrator.fitting.result import Estimate


def comparison_table(found: Comparison) -> Group:
    """Return shared exponents, each group's floor and factors, and the answer in words."""
    table = Table(
        title=f"L = E + A/N^alpha + B/D^beta by {found.by}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column(found.by, overflow="fold")
    table.add_column("parameter")
    table.add_column("value", justify="right")
    table.add_column("90 % interval", justify="right", no_wrap=True)
    for group, estimates in (("all", found.shared), *found.groups.items()):
        title = Text(group, style="bold")
        for name, estimate in estimates.items():
            table.add_row(
                title,
                name,
                "not identified" if estimate.value is None else f"{estimate.value:.4g}",
                _interval(estimate),
            )
            title = Text("")
        table.add_section()
    lines = [Text(sentence) for sentence in found.sentences()]
    if found.sharing_holds:
        lines.append(
            Text(
                f"shared exponents predict the dearer rows as well as a law for each group, within the noise "
                f"(RMSE(log) {found.shared_rmse_log:.4f} against {found.separate_rmse_log:.4f})"
            )
        )
    return Group(table, *lines)


def _interval(estimate: Estimate) -> Text:
    return Text("" if estimate.lo is None else f"[{estimate.lo:.4g}, {estimate.hi:.4g}]")
