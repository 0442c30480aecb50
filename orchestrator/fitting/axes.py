"""The axes a law may use, and what `d` means beside the others.

`d` is unique data when `e` is given beside it, and data seen in total when `unique_d` is given or neither is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

#: Columns that are axes, in the order of the six exponents; everything else in a table is ignored.
AXES: Final[tuple[str, ...]] = ("n", "d", "e", "ft_d", "ft_e", "eps", "unique_d")

#: What each axis is, for messages.
MEANING: Final[Mapping[str, str]] = {
    "n": "model size N",
    "d": "data size D",
    "e": "epochs E",
    "ft_d": "fine-tuning data d",
    "ft_e": "fine-tuning epochs e",
    "eps": "compression ε",
    "unique_d": "unique data",
}

#: Axis to the name of its exponent in the product laws, in the order P = C·N^α·D^β·E^γ·d^δ·e^ζ·ε^η.
EXPONENTS: Final[Mapping[str, str]] = {
    "n": "alpha",
    "d": "beta",
    "e": "gamma",
    "ft_d": "delta",
    "ft_e": "zeta",
    "eps": "eta",
}


def law_axes(columns: Mapping[str, FloatArray], *, data_seen: bool) -> dict[str, FloatArray]:
    """Turn a table's columns into the axes of a law.

    Parameters
    ----------
    columns
        Arrays of shape (rows,) named as in `AXES`; other names are ignored.
    data_seen
        True for laws whose `d` is data seen in total (unique · epochs) with `unique_d` beside it where it is known;
        False for laws that take unique data `d` and epochs `e` apart.

    Returns
    -------
    dict
        Arrays of shape (rows,), in the order of `AXES`.
    """
    axes = {name: columns[name] for name in AXES if name in columns}
    if "d" not in axes:
        axes.pop("unique_d", None)
        return axes
    if "unique_d" in axes:
        seen, unique = axes["d"], np.minimum(axes["unique_d"], axes["d"])
    elif "e" in axes:
        seen, unique = axes["d"] * axes["e"], axes["d"] * np.minimum(axes["e"], 1.0)
    else:
        return axes
    if data_seen:
        axes["d"], axes["unique_d"] = seen, unique
        axes.pop("e", None)
    elif "unique_d" in axes:
        axes["d"], axes["e"] = unique, seen / unique
        axes.pop("unique_d")
    return {name: axes[name] for name in AXES if name in axes}


def training_cost(columns: Mapping[str, FloatArray]) -> FloatArray:
    """Return n·d·e, shape (rows,): what training costs up to a factor; an axis that isn't there counts 1."""
    cost = np.ones(next(iter(columns.values())).size)
    for axis in ("n", "d", *(() if "unique_d" in columns else ("e",))):
        cost = cost * columns.get(axis, np.ones(1))
    return cost


def distinct(values: FloatArray) -> int:
    """Return how many values differ by more than rounding (1e-9 of the value)."""
    ordered = np.sort(np.log(values))
    return 1 + int(np.count_nonzero(np.diff(ordered) > 1e-9))


def varies(values: FloatArray) -> bool:
    """Return whether an axis takes more than one value, up to rounding (1e-9 of the value)."""
    return float(np.log(values.max()) - np.log(values.min())) > 1e-9
