"""What a run left behind: as the JSON of `scalaw run`, and for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from orchestrator.reporting.tables import fit_table

if TYPE_CHECKING:
    from orchestrator.execution.run import RunResult


def run_json(result: RunResult) -> dict[str, Any]:
    """Return a run and its fits as a JSON-able document."""
    return {
        "sweep": result.sweep,
        "rows": result.rows,
        "failed": result.failed,
        "missing": result.missing,
        "not_chosen": result.not_chosen,
        "wall_s": result.wall_s,
        "flops_spent": result.flops_spent,
        "worker_s": result.worker_s,
        "peak_state_bytes": result.peak_state_bytes,
        "spilled": result.spilled,
        "interrupted": result.interrupted,
        **result.answer.fits_json(),
    }


def run_summary(result: RunResult) -> Iterator[RenderableType]:
    """Return a line of figures, and the tables of the fits unless the run was interrupted."""
    left_out = f", {result.not_chosen} not chosen" if result.not_chosen else ""
    yield Text(
        f"{result.sweep}: {result.rows} rows, {result.failed} failed, {result.missing} missing{left_out}; "
        f"{result.flops_spent:.3g} training FLOPs in {result.wall_s:.1f} s",
        no_wrap=True,
        overflow="ignore",  # one line, however long the name
    )
    if result.report is None or result.interrupted:
        return
    yield fit_table(result.report)
    before = result.answer.pretraining
    if before is not None and before.report is not None and before.evidence is not None:
        yield Text(f"\nbefore fine-tuning, on {before.evidence.task}:")
        yield fit_table(before.report)
