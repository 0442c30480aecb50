"""Which axes of some rows a law uses, and why rows can't carry a law."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from orchestrator.fitting.axes import FloatArray, varies
from orchestrator.fitting.check import QUALITIES
from orchestrator.fitting.law import Law


def used_axes(law: Law, axes: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the axes that a law uses: those it requires, and optional ones that vary."""
    return {a: x for a, x in axes.items() if a in law.required or (a in law.optional and varies(x))}


def missing_axes(law: Law, axes: Mapping[str, FloatArray]) -> list[str]:
    """Return the axes that a law requires and that aren't there."""
    return [axis for axis in law.required if axis not in axes]


def obstacle(law: Law, axes: Mapping[str, FloatArray], target: str) -> str | None:
    """Say why rows can't carry a law of a target and what to add, or None where they can."""
    if target in QUALITIES and not law.fits_quality:
        return f"it is a law of a loss, and {target} is a share that grows; fit a loss with it"
    if missing := missing_axes(law, axes):
        columns = ["unique_d (or e)" if axis == "unique_d" else axis for axis in missing]
        return f"the table has no column {' or '.join(columns)}; add it, or name it with `mapping`"
    used = used_axes(law, axes)
    if not used:
        return f"no axis varies; add cells with other values of {' or '.join(axes)}"
    if len(used) < law.fewest_axes:
        return f"it is another law on fewer than {law.fewest_axes} axes; add cells that vary one more"
    return law.obstacle({name: np.log(values) for name, values in used.items()})
