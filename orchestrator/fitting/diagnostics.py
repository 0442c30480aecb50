"""What is wrong with rows or with a law on them, and the sentences that a fit hands over with its numbers.

A *plateau* is runs that sit at chance, at the top of the losses, where no power law holds. Every law here is convex in
the logs: log L against the log axes bends upwards, so a plane fitted to the lower losses and extended to the rows of
the highest loss runs below them or through them. Rows that lie clearly *below* that plane, all at one loss, have
stopped following any such law. Rows that lie *far* from a law are diverged runs, or typing errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import AXES, MEANING, FloatArray, Mask, varies
from orchestrator.fitting.caution import Caution
from orchestrator.fitting.identifiability import Withheld, not_identified
from orchestrator.fitting.law import Law
from orchestrator.fitting.result import LawFit

#: Below this R² the noise, or what the law doesn't know, is larger than what it explains.
LOW_R2: Final = 0.5
#: Degrees of freedom up to which residuals say nothing of the noise.
FEW_FREE: Final = 2
#: Row numbers named in a sentence at most.
NAMED: Final = 8
#: Robust standard deviations from the law's median residual beyond which a row is named.
FAR: Final = 6.0
#: Few rows tell the noise badly: FAR grows by this many over the degrees of freedom.
FEW_ROWS: Final = 6.0
#: Step in the log of an axis, and slope of the log loss from which a loss is said to rise.
STEP: Final = 0.25
LEAST_RISE: Final = 0.005
#: Deviations below this (log loss) are rounding, not noise.
LEAST_DEVIATION: Final = 1e-4
#: Log losses within this of each other count as one level.
LEVEL: Final = 0.01
#: A plateau holds at least this share of the rows, with no more than `ABOVE` (diverged runs) above it.
SHARE: Final = 0.3
ABOVE: Final = 0.05
#: Where the total spread is less, every row is near every other and nothing can be told.
LEAST_SPREAD: Final = 0.05
#: The extended plane must lie this far above the plateau, in log loss and in residual deviations of the plane.
LEAST_GAP: Final = 0.03
DEVIATIONS: Final = 4.0


def table_warnings(axes: Mapping[str, FloatArray], loss: FloatArray, *, quality: bool) -> list[str]:
    """Return warnings that hold for every law: a target that does not vary, or a plateau.

    Parameters
    ----------
    axes, loss
        Columns of shape (rows,); the loss is 1/quality where ``quality`` is True.
    """
    logs = [np.log(axes[name]) for name in AXES if name in axes and varies(axes[name])]
    if not varies(loss):
        return [f"the target is {1 / loss[0] if quality else loss[0]:.6g} in every row: nothing to fit"]
    level = plateau_rows(logs, np.log(loss))
    if not level.any():
        return []
    height = float(np.median(loss[level]))
    where = f"P = {1 / height:.3g}" if quality else f"L = {height:.3g}"
    return [
        f"{level.sum()} of {level.size} rows sit at a plateau near {where}: no power law holds there; "
        "train longer or drop those cells"
    ]


def law_warnings(
    law: Law,
    all_axes: Mapping[str, FloatArray],
    used: Mapping[str, FloatArray],
    residuals: FloatArray,
    r2: float,
    solution: FloatArray,
    ends: FloatArray | None,
    withheld: Mapping[str, Withheld],
) -> list[str]:
    """Return the warnings of one law.

    Parameters
    ----------
    all_axes, used
        The table's axes as the law sees them, and those that it uses.
    residuals
        Log residuals, shape (rows,).
    solution, ends
        Parameter values (P,) and the ends of their intervals (2, P).
    withheld
        Parameters without a number, and why.
    """
    said_once = dict.fromkeys(not_identified(withheld).values())
    warnings = [*said_once, *_axis_warnings(law, all_axes, used)]
    for k, parameter in enumerate(law.parameters(used)):
        if parameter.role == "floor" and solution[k] == 0.0 and parameter.name not in withheld:
            warnings.append(f"{parameter.name} is 0, its bound: these rows show no irreducible loss")
        falling = ends is not None and ends[1, k] < 0
        if parameter.role == "exponent" and parameter.name not in withheld and falling:
            axis = parameter.axes[0]
            warnings.append(f"{parameter.name} is negative: the target gets worse with {MEANING[axis]} ({axis})")
    free = residuals.size - solution.size
    if free <= FEW_FREE:
        warnings.append(
            f"{residuals.size} rows for {solution.size} parameters leave {free} degree{'' if free == 1 else 's'} of "
            "freedom: R² and intervals say little; add cells"
        )
    if residuals.size > 2 * solution.size:
        warnings += _residual_warnings(law, residuals, solution.size)
    warnings += _wrong_way(law, used, solution)
    if r2 < LOW_R2:
        warnings.append(
            f"R² is {r2:.2f}: noise, or something the law doesn't know, is larger than what it explains; "
            "add seeds, or a wider range of the axes"
        )
    return warnings


def counts_as_fresh(law: str) -> str:
    """Return the sentence for a law that doesn't know that data were repeated."""
    return f"{law} counts repeated data as fresh data"


def best_warnings(best: LawFit) -> list[str]:
    """Return a warning where the rows don't tell most of what the best law says."""
    known = sum(estimate.value is not None for estimate in best.params.values())
    if 2 * known >= len(best.params):
        return []
    return [
        f"{best.law} predicts best, but these rows tell {known} of its {len(best.params)} parameters: "
        "read no exponent from it; add cells, over a wider range of the axes"
    ]


def plateau_rows(log_axes: Sequence[FloatArray], log_loss: FloatArray) -> Mask:
    """Return which rows sit at a plateau, shape (rows,); all False where there is none.

    Parameters
    ----------
    log_axes
        Logs of the axes that vary, each of shape (rows,).
    log_loss
        Shape (rows,).
    """
    none = np.zeros(log_loss.size, dtype=bool)
    top = _densest_top(log_loss)
    rest = log_loss < top - LEVEL
    level = ~rest & (log_loss <= top)
    if level.sum() < max(4, SHARE * log_loss.size) or np.quantile(log_loss[~rest], 0.5) - log_loss.min() < LEAST_SPREAD:
        return none
    moving = [axis for axis in log_axes if np.ptp(axis[rest]) > 0] if rest.any() else []
    design = np.column_stack([np.ones_like(log_loss), *moving])
    if rest.sum() < design.shape[1] + 1:
        return level if level.mean() > 0.7 and rest.sum() > 1 else none
    plane, *_ = np.linalg.lstsq(design[rest], log_loss[rest], rcond=None)
    gap = design @ plane - log_loss
    freedom = rest.sum() - design.shape[1]
    noise = float(np.sqrt((gap[rest] ** 2).sum() / freedom))
    # The plateau's rows farthest from the others, where the plane stands highest, must lie far below it.
    reach = float(np.quantile(gap[level], 0.75))
    return level if reach > max(LEAST_GAP, DEVIATIONS * noise) and np.median(gap[level]) > 0 else none


def far_rows(residuals: FloatArray, parameters: int = 0) -> NDArray[np.intp]:
    """Return the indices of rows farther than `FAR` robust deviations, in row order.

    Parameters
    ----------
    parameters
        How many were fitted: a fit that is nearly least absolute errors goes through so many rows exactly, which must
        not pass for a small noise. The deviation is 1.4826 times the median over the other rows.
    """
    away = np.abs(residuals - np.median(residuals))
    others = np.sort(away)[min(parameters, away.size - 1) :]
    middle = float(np.median(others)) * np.sqrt(residuals.size / max(1, residuals.size - parameters))
    few = 1.0 + FEW_ROWS / max(1, residuals.size - parameters)
    return np.flatnonzero(away > few * FAR * max(1.4826 * middle, LEAST_DEVIATION))


def _axis_warnings(law: Law, all_axes: Mapping[str, FloatArray], used: Mapping[str, FloatArray]) -> list[str]:
    warnings = []
    for name, values in all_axes.items():
        if name in used:
            continue
        if name == "unique_d":
            if np.any(all_axes["d"] > values * (1 + 1e-6)):
                warnings.append(counts_as_fresh(law.name))
        elif varies(values):
            warnings.append(f"{law.name} doesn't know {MEANING[name]} ({name}), which varies in these rows")
        elif name in law.optional and not np.allclose(values, 1.0, rtol=1e-9, atol=0):
            warnings.append(
                f"{name} is {values[0]:.6g} in every row: its exponent is not identified and left out; "
                f"add cells with other values of {name}"
            )
    return warnings


def _residual_warnings(law: Law, residuals: FloatArray, parameters: int) -> list[str]:
    far = far_rows(residuals, parameters)
    if not far.size:
        return []
    shown = ", ".join(str(row + 1) for row in far[:NAMED]) + (", …" if far.size > NAMED else "")
    weight = "they pull this least-squares fit" if law.least_squares else "the fit gives them little weight"
    return [
        Caution(
            f"{far.size} of {residuals.size} rows lie more than {FAR:g} robust standard deviations off "
            f"(data rows {shown}): diverged runs? {weight}",
            "far_rows",
            rows=float(far.size),
        )
    ]


def _wrong_way(law: Law, used: Mapping[str, FloatArray], solution: FloatArray) -> list[str]:
    """Say where a law's loss rises with N or D among the rows, or just beyond them, though no run's should.

    Compressed rows are left out: the damage of a compression does grow with the data.
    """
    if "eps" in used:
        whole = used["eps"] >= used["eps"].max() * (1 - 1e-9)
        used = {name: values[whole] for name, values in used.items()}
    logs = {name: np.log(values) for name, values in used.items()}
    coords = law.to_coords(solution, used)[None]
    found: list[str] = []
    with np.errstate(all="ignore"):
        here = law.log_loss(coords, logs)[0]
        for name in ("n", "d"):
            if name not in used or not varies(used[name]):
                continue
            rise = (law.log_loss(coords, {**logs, name: logs[name] + STEP})[0] - here) / STEP
            worst = float(np.nanmax(rise)) if np.isfinite(rise).any() else 0.0
            if worst > LEAST_RISE and not _plainly_rises(law, used, solution, name):
                where = float(used[name][int(np.nanargmax(rise))])
                said = f"{law.name}'s loss rises with {MEANING[name]} ({name}) from {where:.3g} on, as no run's should"
                found.append(
                    Caution(f"{said}: don't predict or extrapolate by it", "not_monotone", at=where, slope=worst)
                )
    return found


def _plainly_rises(law: Law, used: Mapping[str, FloatArray], solution: FloatArray, axis: str) -> bool:
    """Return whether an exponent of just that axis is negative, of which `law_warnings` has its word."""
    parameters = law.parameters(used)
    return any(p.role == "exponent" and p.axes == (axis,) and solution[k] < 0 for k, p in enumerate(parameters))


def _densest_top(log_loss: FloatArray) -> float:
    """The upper edge of the fullest level among those with few rows above."""
    ordered = np.sort(log_loss)
    edges = ordered[ordered.size - 1 - int(ABOVE * ordered.size) :]
    counts = np.searchsorted(ordered, edges, side="right") - np.searchsorted(ordered, edges - LEVEL, side="left")
    return float(edges[np.argmax(counts)])
