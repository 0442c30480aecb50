"""What every law promises, tried on rows that it has made itself; it runs on laws of other people, too.

>>> from orchestrator.fitting.conformance import broken_promises
>>> from orchestrator.fitting.laws.chinchilla import Chinchilla
>>> broken_promises(Chinchilla())
[]
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np

from orchestrator.fitting.axes import FloatArray, law_axes
from orchestrator.fitting.law import Law
from orchestrator.fitting.sample import centred

#: Values of each axis; rows are all their combinations.
GRID: Final = {
    "n": (1e5, 3e5, 1e6, 3e6),
    "d": (1e6, 4e6, 1.6e7),
    "e": (1.0, 2.0, 8.0),
    "eps": (1.0, 4 / 32, 2 / 32),
    "ft_d": (1e4, 1e5, 1e6),
    "ft_e": (1.0, 4.0),
}
#: Steps and tolerances of derivatives taken by differences, in coordinates.
STEP: Final = 1e-6
SLOPE_TOLERANCE: Final = 1e-4
#: Value of a floor or factor that the rows don't need, in units of the rows' mean loss.
SOME: Final = 0.2
#: Largest relative difference of predictions that should be equal.
PREDICTION_TOLERANCE: Final = 1e-4


def broken_promises(law: Law) -> list[str]:
    """Return a sentence for each promise of `orchestrator.fitting.law` that is broken.

    The law is fitted to rows of a Chinchilla-like loss, and its own predictions are then the truth.
    """
    columns = _columns(law)
    axes = law_axes(columns, data_seen=law.data_seen)
    axes = {name: values for name, values in axes.items() if name in (*law.required, *law.optional)}
    missing = [name for name in law.required if name not in axes]
    if missing:
        return [f"its axes are those of rows: {', '.join(missing)} is none that can be tried"]
    sample, _ = centred(axes, _loss(columns))
    coords = law.solve(sample)
    if coords.shape != (len(law.parameters(axes)),) or np.isnan(coords).any() or np.isposinf(coords).any():
        return [f"solve gives one coordinate a parameter, no greater than all numbers: {coords}"]
    # A factor or floor of these rows may be zero; the truth that is looked for has all of them.
    coords = np.where(np.isneginf(coords), np.log(SOME), coords)
    truth = np.exp(law.log_loss(coords[None], sample.log_axes)[0])
    found = [*_of_slopes(law, coords, sample.log_axes), *_of_units(law, coords, sample.log_axes, truth)]
    own, units = centred(axes, truth)
    again = law.solve(own)
    predicted = np.exp(law.log_loss(again[None], own.log_axes)[0] + units.loss)
    worst = float(np.abs(predicted / truth - 1).max())
    if worst > PREDICTION_TOLERANCE:
        found.append(f"solve gives back what noiseless rows were made with: predictions are off by {worst:.2g}")
    weighed = law.resolve(own, again, np.ones((2, own.rows)))
    if weighed.shape != (2, again.size):
        return [*found, f"resolve gives the coordinates of each weighting: {weighed.shape} for {(2, again.size)}"]
    worst = float(np.abs(np.exp(law.log_loss(weighed, own.log_axes) + units.loss) / truth - 1).max())
    if worst > PREDICTION_TOLERANCE:
        found.append(f"resolve with unit weights is the solution: predictions are off by {worst:.2g}")
    return found


def _columns(law: Law) -> dict[str, FloatArray]:
    names = [name for name in GRID if name in ("n", "d", *law.required, *law.optional) or name == "e"]
    points = np.array(list(product(*(GRID[name] for name in names))))
    return {name: points[:, k] for k, name in enumerate(names)}


def _loss(columns: dict[str, FloatArray]) -> FloatArray:
    seen = columns["d"] * columns["e"] ** 0.6
    loss = 1.6 + 400 / columns["n"] ** 0.33 + 1500 / seen**0.38
    for name, exponent in (("ft_d", 0.05), ("ft_e", 0.03), ("eps", 0.02)):
        if name in columns:
            loss = loss * columns[name] ** -exponent
    found: FloatArray = loss
    return found


def _of_slopes(law: Law, coords: FloatArray, log_axes: dict[str, FloatArray]) -> Iterator[str]:
    exact = law.slopes(coords[None], log_axes)[0]
    for k, parameter in enumerate(law.parameters(log_axes)):
        moved = np.stack([coords, coords])
        step = STEP * max(1.0, abs(coords[k]))
        moved[0, k] += step
        moved[1, k] -= step
        up, down = law.log_loss(moved, log_axes)
        numeric = (up - down) / (2 * step)
        if not np.allclose(exact[k], numeric, rtol=SLOPE_TOLERANCE, atol=1e-7):
            yield f"slopes are the derivatives of log_loss: others by {parameter.name}"


def _of_units(law: Law, coords: FloatArray, log_axes: dict[str, FloatArray], truth: FloatArray) -> Iterator[str]:
    units = {name: 0.0 if name in ("e", "ft_e", "eps") else 2.0 for name in log_axes}
    if "unique_d" in units:
        units["unique_d"] = units.get("d", 0.0)
    moved = law.shift(coords[None].copy(), units, 0.7)
    scaled = {name: values + units[name] for name, values in log_axes.items()}
    predicted = np.exp(law.log_loss(moved, scaled)[0] - 0.7)
    worst = float(np.abs(predicted / truth - 1).max())
    if worst > PREDICTION_TOLERANCE:
        yield f"other units change no prediction: they are off by {worst:.2g}"
