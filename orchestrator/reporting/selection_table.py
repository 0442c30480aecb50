"""A replayed selection for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text


def selection_text(document: Mapping[str, Any]) -> Text:
    """Return what was chosen, what it cost and how well it predicts, one a line."""
    share = document["cost"] / document["total_cost"]
    lines = [
        f"{document['rows']} of {document['candidates']} rows chosen, for {share:.1%} of the cost of all",
        f"{document['targets']} rows predicted from them by {', '.join(document['laws'])}: "
        f"R² {document['r2']:.3f}, RMSE(log) {document['rmse_log']:.4f}",
    ]
    if document["covered"] is not None:
        lines.append(f"inside their 90 % intervals: {document['covered']:.0%}")
    return Text("\n".join(lines))
