"""The answer of `scalaw predict` for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def prediction_text(document: Mapping[str, Any]) -> str:
    """Return a prediction with its interval, its law and its point in one line."""
    of = f"{document['target']} on {document['task']}" if document["task"] else document["target"]
    point = [
        f"{axis} = {document[axis]:,.0f}" + (f" {document['d_means']}" if axis == "d" else "")
        for axis in ("n", "d")
        if axis in document
    ]
    point += [f"{axis} = {document[axis]:g}" for axis in ("e", "ft_d", "ft_e", "eps") if axis in document]
    by = document["law"] if document["law"] != "average" else f"{document['law']} ({document['by']})"
    return (
        f"{of} {document['value']:.4g}  [{document['lo']:.4g}, {document['hi']:.4g}] at {document['level']:.0%}, "
        f"law {by}, {', '.join(point)}"
    )
