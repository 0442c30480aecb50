"""The sentences a fit hands over with its numbers: what the table or a law can't carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from orchestrator.fitting.axes import AXES, MEANING, FloatArray, varies
from orchestrator.fitting.law import Law
from orchestrator.fitting.outliers import FAR, far_rows
from orchestrator.fitting.plateau import plateau_rows
from orchestrator.fitting.result import LawFit

#: Below this R² the noise, or what the law doesn't know, is larger than what it explains.
LOW_R2: Final = 0.5
#: Degrees of freedom up to which residuals say nothing of the noise.
FEW_FREE: Final = 2
#: Row numbers named in a sentence at most.
NAMED: Final = 8


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
    withheld: Mapping[str, str],
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
    warnings = [*_withheld_warnings(withheld), *_axis_warnings(law, all_axes, used)]
    for k, parameter in enumerate(law.parameters(used)):
        if parameter.role == "floor" and solution[k] == 0.0:
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
        warnings += _residual_warnings(law, residuals)
    if r2 < LOW_R2:
        warnings.append(
            f"R² is {r2:.2f}: noise, or something the law doesn't know, is larger than what it explains; "
            "add seeds, or a wider range of the axes"
        )
    return warnings


def best_warnings(best: LawFit) -> list[str]:
    """Return a warning where the rows don't tell most of what the best law says."""
    known = sum(estimate.value is not None for estimate in best.params.values())
    if 2 * known >= len(best.params):
        return []
    return [
        f"{best.law} predicts best, but these rows tell {known} of its {len(best.params)} parameters: "
        "read no exponent from it; add cells, over a wider range of the axes"
    ]


def _withheld_warnings(withheld: Mapping[str, str]) -> list[str]:
    """One sentence for all parameters that share a reason."""
    together: dict[str, list[str]] = {}
    for name, why in withheld.items():
        together.setdefault(why, []).append(name)
    return [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not identified: {why}"
        for why, names in together.items()
    ]


def _axis_warnings(law: Law, all_axes: Mapping[str, FloatArray], used: Mapping[str, FloatArray]) -> list[str]:
    warnings = []
    for name, values in all_axes.items():
        if name in used:
            continue
        if name == "unique_d":
            if np.any(all_axes["d"] > values * (1 + 1e-6)):
                warnings.append(f"{law.name} counts repeated data as fresh data")
        elif varies(values):
            warnings.append(f"{law.name} doesn't know {MEANING[name]} ({name}), which varies in these rows")
        elif name in law.optional and not np.allclose(values, 1.0, rtol=1e-9, atol=0):
            warnings.append(
                f"{name} is {values[0]:.6g} in every row: its exponent is not identified and left out; "
                f"add cells with other values of {name}"
            )
    return warnings


def _residual_warnings(law: Law, residuals: FloatArray) -> list[str]:
    far = far_rows(residuals)
    if not far.size:
        return []
    shown = ", ".join(str(row + 1) for row in far[:NAMED]) + (", …" if far.size > NAMED else "")
    weight = "they pull this least-squares fit" if law.least_squares else "the fit gives them little weight"
    return [
        f"{far.size} of {residuals.size} rows lie more than {FAR:g} robust standard deviations off "
        f"(data rows {shown}): diverged runs? {weight}"
    ]
