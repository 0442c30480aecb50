"""The answers of `scalaw optimal` for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from orchestrator.reporting.short_numbers import short_number
from orchestrator.reporting.tables import records_table


def optimum_tables(document: Mapping[str, Any]) -> list[Table | Text]:
    """Return what answers best: the optimum and its curve, or the measured cells within limits."""
    if "limits" in document:
        return [measured_table(document)]
    return [optimum_text(document), *([curve_table(document)] if "curve" in document else [])]


def optimum_text(document: Mapping[str, Any]) -> Text:
    """Return the compute-optimal N, D, E and loss, one a line with its 90 % interval."""
    serving = f", serving {short_number(document['served_tokens'])} tokens" if document["served_tokens"] else ""
    lines = [*_asked(document)]
    lines += [
        f"best use of {document['flops']:.3g} FLOPs by {_by(document)} "
        f"(training costs {document['flops_per_nde']:.3g}·n·d·e{serving}), 90 % intervals",
        f"n     {_with_ends(document['n'])} non-embedding parameters",
        f"d     {_with_ends(document['d'])} {document['d_means']}",
        f"e     {_with_ends(document['e'])} epochs",
        f"{document['target']:5} {_with_ends(document['loss'])}",
    ]
    if "tokens_per_param" in document:
        exponents = document["exponents"]
        lines.append(f"data  {_with_ends(document['tokens_per_param'])} for each parameter")
        lines.append(f"n goes as compute^{_with_ends(exponents['n'])}, d as compute^{_with_ends(exponents['d'])}")
    parabola = document.get("parabola")
    if parabola and parabola["n"] is not None:
        count = len(parabola["profiles"])
        lines.append(f"beside it: parabolas through {count} IsoFLOP profiles say n = {_written(parabola['n'])}")
    return Text("\n".join(lines))


def _asked(document: Mapping[str, Any]) -> list[str]:
    """The answer to a question that goes the other way."""
    asked = document.get("asked")
    if asked is None:
        return []
    if "d_needed" in document:
        return [
            f"a model of {short_number(asked['n'])} parameters reaches {asked['loss']:.4g} with "
            f"{short_number(document['d_needed'])} {document['d_means']} ({document['flops_needed']:.3g} FLOPs, "
            f"{document['over_cheapest']:.3g} times the cheapest way)"
        ]
    if "loss" in asked:
        return [f"a loss of {asked['loss']:.4g} takes {document['flops']:.3g} FLOPs at least"]
    name, value = next(iter(asked.items()))
    return [f"{name} = {short_number(value)} is best at {document['flops']:.3g} FLOPs"]


def _by(document: Mapping[str, Any]) -> str:
    return document["by"] if document["law"] == "average" else f"the {document['law']} law"


def curve_table(document: Mapping[str, Any]) -> Table:
    """Return one line a budget."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("flops", "n", "d", "e", document["target"]):
        table.add_column(name, justify="right", overflow="fold")
    for point in document["curve"]:
        table.add_row(f"{point['flops']:.3g}", *(Text(_with_ends(point[name])) for name in ("n", "d", "e", "loss")))
    return table


def measured_table(document: Mapping[str, Any]) -> Table | Text:
    """Return the best cell and the runner-up side by side; axes that neither has are left out."""
    cells = {"best": document["best"], "next": document["runner_up"]}
    short = {
        which: {**cell, "cell_id": cell["cell_id"][:12], "compression": cell["compression"] or "none"}
        for which, cell in cells.items()
        if cell is not None
    }
    names = [name for name in short["best"] if any(cell[name] is not None for cell in short.values())]
    return records_table([{"": name} | {which: cell[name] for which, cell in short.items()} for name in names])


def _with_ends(estimate: Mapping[str, float | None]) -> str:
    ends = [estimate["lo"], estimate["hi"]]
    if ends == [None, None]:
        return _written(estimate["value"])
    return f"{_written(estimate['value'])} [{_written(ends[0])}, {_written(ends[1])}]"


def _written(value: float | None) -> str:
    if value is None:
        return "open"
    return f"{value:.4g}" if value < 1000 else short_number(value)
