"""The answer of `scalaw predict` for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def prediction_text(document: Mapping[str, Any]) -> str:
    """Return a prediction with its interval, its law and its point in one line."""
    of = f"{document['target']} on {document['task']}" if document["task"] else document["target"]
    beside = "".join(f", {axis} = {document[axis]:g}" for axis in ("ft_d", "ft_e", "eps") if axis in document)
    return (
        f"{of} {document['value']:.4g}  [{document['lo']:.4g}, {document['hi']:.4g}] at {document['level']:.0%}, "
        f"law {document['law']}, n = {document['n']:,.0f}, d = {document['d']:,.0f} {document['d_means']}, "
        f"e = {document['e']:g}{beside}"
    )
