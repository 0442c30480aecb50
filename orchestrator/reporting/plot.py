"""``scalaw plot`` as a function: the figure of a fit, or of compressed models, in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from orchestrator.analysis.inputs import ColumnMap, RowChoice, Source, called, gather
from orchestrator.analysis.measured_best import measured_cells
from orchestrator.errors import BadInput
from orchestrator.reporting.compression_figure import compression_figure, frontiers
from orchestrator.reporting.figures import save_figure, scaling_figure


def plot(
    source: Source,
    output: str | Path,
    *,
    kind: Literal["law", "compression"] = "law",
    laws: Sequence[str] | None = None,
    mapping: ColumnMap | None = None,
    task: str | None = None,
    recipe: str | None = None,
    sweep: str | None = None,
    target: str | None = None,
    where: str | None = None,
    drop_empty: bool = False,
    envelope: bool = False,
    group: str | None = None,
    decimal: str = ".",
) -> dict[str, Any]:
    """Draw the measured losses, the best law through them and its held-out predictions; or compressed models.

    Parameters
    ----------
    source
        A store by its address or open, or a table: a ``.csv``, ``.parquet`` or ``.jsonl`` file or a pyarrow Table.
    output
        A ``.png``, ``.svg`` or ``.pdf`` file; one that is there is replaced.
    kind
        ``law``: the fit; ``compression``: loss against size and latency of a store's cells.
    laws
        Laws to choose from; by default what the sweep's YAML says.
    mapping, task, recipe, sweep, target, where, drop_empty, envelope, group, decimal
        As `fit_source` takes them.

    Returns
    -------
    dict
        ``path``, ``kind``, the ``law`` drawn or the cells of the ``frontiers``, and ``warnings``.

    Raises
    ------
    BadInput
        If there is nothing to draw, or the file can't be written.
    """
    written = {"path": str(output), "kind": kind}
    if kind == "compression":
        if laws or mapping:
            raise BadInput(
                "`laws` and `mapping` belong to `kind` law; sizes and latencies of models are read from a store"
            )
        rows = measured_cells(source, ["model_bytes"], task=task, recipe=recipe, sweep=sweep)
        save_figure(compression_figure(rows, title=f"{sweep or Path(called(source)).name}: {rows['task'][0]}"), output)
        return {**written, "frontiers": frontiers(rows), "warnings": []}
    rows = RowChoice(where=where, drop_empty=drop_empty, envelope=envelope, group=group, decimal=decimal)
    evidence = gather(source, mapping=mapping, target=target, sweep=sweep, task=task, recipe=recipe, rows=rows)
    report = evidence.fit(laws=laws, none_is_fine=True)
    figure = scaling_figure(
        evidence.axes,
        report,
        title=evidence.title,
        target=evidence.settings["target"],
        d_label=f"data D ({evidence.d_means})",
        hold_out=evidence.settings["hold_out"],
    )
    save_figure(figure, output)
    law = report.best.law if report.best else None
    return {**written, "law": law, "warnings": [*evidence.notes, *report.warnings]}
