"""Is quality a product P = f(N)·f(D)·f(E)·f(ε)? A test of what the product law takes for granted about ε.

If it is, a compression multiplies the loss by the same factor whatever the model it is done to. So each compressed row
is set against the uncompressed one of the same axes, and the damage, log(L / L uncompressed), is regressed in
logarithms on those axes, each variant with a level of its own. A slope that is not 0 says how damage grows: Kumar et
al. (2024, arXiv 2411.04330, equation 2) find that it grows with D and shrinks with N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import AXES, MEANING, FloatArray, varies
from orchestrator.fitting.caution import Caution
from orchestrator.fitting.solver.linear import least_squares

#: Damage below this is noise, and its logarithm means nothing.
LEAST_DAMAGE: Final = 1e-3
#: Powers below this change damage by a tenth over a factor of 10 of the axis, which is nothing to report.
LEAST_POWER: Final = 0.05
#: Pairs, over the number of coefficients, below which nothing is said.
SPARE_PAIRS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Separability:
    """What damage depends on.

    Parameters
    ----------
    slopes
        For each axis (value, lo, hi) with a 90 % interval: damage goes as that power of the axis.
    pairs
        Compressed rows with a damage that can be told from noise.
    separable
        Whether no slope can be told from 0, at 90 % for all of them together (Bonferroni), or all are small.
    verdict
        The answer in words.
    """

    slopes: dict[str, tuple[float, float, float]]
    pairs: int
    separable: bool
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary."""
        slopes = {axis: dict(zip(("value", "lo", "hi"), ends, strict=True)) for axis, ends in self.slopes.items()}
        return {"slopes": slopes, "pairs": self.pairs, "separable": self.separable, "verdict": self.verdict}


def separability(
    axes: Mapping[str, FloatArray], loss: FloatArray, variants: Sequence[object], *, bootstrap: int, seed: int
) -> Separability | None:
    """Return what the damage of compression depends on, or ``None`` where the rows can't tell.

    Parameters
    ----------
    axes, loss
        Columns of shape (rows,), ``eps`` among the axes, 1 where nothing is compressed.
    variants
        What was done to each row's model, of any hashable kind.
    bootstrap, seed
        Replicas behind the intervals (over models), and their seed.
    """
    if "eps" not in axes or not bootstrap:
        return None
    others = [name for name in AXES if name in axes and name not in ("eps", "unique_d")]
    if not others:
        return None
    points = list(zip(*(axes[name] for name in others), strict=True))
    whole = np.isclose(axes["eps"], 1.0, rtol=1e-9, atol=0)
    parents = {points[k]: loss[k] for k in np.flatnonzero(whole)}
    pairs = [k for k in np.flatnonzero(~whole) if points[k] in parents]
    damage = np.array([np.log(loss[k] / parents[points[k]]) for k in pairs])
    kept = [k for k, lost in zip(pairs, damage, strict=True) if lost > LEAST_DAMAGE]
    if not kept:
        return None
    log_damage = np.log(damage[damage > LEAST_DAMAGE])
    columns = {name: np.log(axes[name][kept]) for name in others if varies(axes[name][kept])}
    kinds = {kind: j for j, kind in enumerate(dict.fromkeys(variants[int(k)] for k in kept))}
    levels = np.eye(len(kinds))[[kinds[variants[int(k)]] for k in kept]]
    design = np.column_stack([*(values - values.mean() for values in columns.values()), levels])
    if not columns or len(kept) < design.shape[1] + SPARE_PAIRS:
        return None
    models = {point: j for j, point in enumerate(dict.fromkeys(points[int(k)] for k in kept))}
    model = np.array([models[points[int(k)]] for k in kept])
    return _judged(list(columns), design, log_damage, _weights(model, bootstrap, seed))


def _weights(model: NDArray[np.intp], count: int, seed: int) -> FloatArray:
    """Draw whole models with replacement, as their pairs share the noise of one uncompressed row; (count, pairs)."""
    models = int(model.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(models, np.full(models, 1 / models), size=count)
    weights: FloatArray = drawn[:, model].astype(np.float64)
    return weights


def _judged(names: list[str], design: FloatArray, log_damage: FloatArray, drawn: FloatArray) -> Separability:
    rows, count = len(log_damage), len(names)
    found, _ = least_squares(design, log_damage, np.ones((1, rows)))
    replicas, ranks = least_squares(design, log_damage, drawn)
    whole = replicas[ranks >= ranks.max(), :count]
    lo, hi = np.quantile(whole, [0.05, 0.95], axis=0)
    low, high = np.quantile(whole, [0.05 / count, 1 - 0.05 / count], axis=0)  # one false alarm in ten, over all axes
    slopes = {name: (float(found[0, j]), float(lo[j]), float(hi[j])) for j, name in enumerate(names)}
    against = {
        name: slopes[name]
        for j, name in enumerate(names)
        if (low[j] > 0 or high[j] < 0) and abs(slopes[name][0]) >= LEAST_POWER
    }
    if against:
        shown = "; ".join(
            f"it goes as {MEANING[name]} to the power {value:.2f} [{least:.2f}, {most:.2f}]"
            for name, (value, least, most) in against.items()
        )
        verdict = f"not a product in ε: the damage of a compression depends on the model it is done to; {shown}"
    else:
        verdict = "these rows show no dependence of a compression's damage on the model it is done to"
    return Separability(slopes=slopes, pairs=rows, separable=not against, verdict=verdict)


def kinds(axes: Mapping[str, FloatArray], variants: Sequence[object]) -> list[str]:
    """Say where rows of one ε were compressed in different ways, which a law in ε takes as one."""
    ways: dict[float, set[object]] = {}
    for share, variant in zip(axes["eps"].tolist() if "eps" in axes else [], variants, strict=False):
        ways.setdefault(share, set()).add(variant)
    several = sorted({str(way) for found in ways.values() if len(found) > 1 for way in found})
    if not several:
        return []
    said = (
        f"rows of one ε were compressed in different ways ({', '.join(several[:6])}), which laws in ε take as one: "
        "fit each by itself, with `where` on a table; precision_training is for those trained in their precision"
    )
    return [Caution(said, "several_kinds", kinds=float(len(several)))]
