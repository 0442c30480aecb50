"""A replayed selection for people."""

from __future__ import annotations

from rich.text import Text

from orchestrator.fitting.selection.replay import Replay


def selection_text(found: Replay) -> Text:
    """Return what was chosen, what it cost and how well it predicts, one a line."""
    share = found.cost / found.total_cost
    lines = [
        f"{len(found.choices)} of {found.candidates} rows chosen, for {share:.1%} of the cost of all",
        f"{found.targets} rows predicted from them by {', '.join(found.report.near)}: "
        f"R² {found.r2:.3f}, RMSE(log) {found.rmse_log:.4f}",
    ]
    if found.covered is not None:
        lines.append(f"inside their 90 % intervals: {found.covered:.0%}")
    return Text("\n".join(lines))
