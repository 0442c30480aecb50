"""Which law to believe: the one that predicts dearer rows best, or a simpler one that does so nearly as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.result import LawFit

#: Errors of the log loss on the rows of each fold; None where the law couldn't be fitted there.
Ahead = Sequence[FloatArray | None]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Laws, best first.

    Parameters
    ----------
    names
        All that were fitted.
    rmse_log
        Root mean square of their errors ahead, where they have been compared by them.
    near
        Those that the rows can't tell from the best: within one standard error of the smallest mean square.
    """

    names: list[str]
    rmse_log: dict[str, float]
    near: list[str]


def ranking(fits: Mapping[str, LawFit], ahead: Mapping[str, Ahead]) -> Ranking:
    """Rank laws by their errors on dearer rows, over the folds that all who have any could be fitted on.

    First stands, among the laws within one standard error of the smallest mean square, the one with the fewest
    parameters (Breiman et al. 1984, section 3.4.3). Laws without such errors follow by held-out error, then by R²
    adjusted for parameters; laws of the uncompressed rows alone stand behind those of all rows.
    """
    most = max((fit.n_rows for fit in fits.values()), default=0)
    squares = {name: joined for name, joined in _common(fits, ahead, most).items() if joined.size}
    mean = {name: float(values.mean()) for name, values in squares.items()}
    names = sorted(fits, key=lambda name: _place(fits[name], most, mean.get(name)))
    near = names[:1]
    if mean:
        best = min(mean, key=lambda name: mean[name])
        most_near = mean[best] + float(squares[best].std() / np.sqrt(squares[best].size))
        near = [name for name in names if name in mean and mean[name] <= most_near]
        simple = min(near, key=lambda name: (fits[name].solution.size, mean[name]))
        names.remove(simple)
        names.insert(0, simple)
    return Ranking(names, {name: value**0.5 for name, value in mean.items()}, near)


def _common(fits: Mapping[str, LawFit], ahead: Mapping[str, Ahead], most: int) -> dict[str, FloatArray]:
    """Squared errors of each law of all rows, over the folds that they share."""
    known = {name: ahead[name] for name in ahead if fits[name].n_rows == most}
    known = {name: errors for name, errors in known.items() if any(e is not None for e in errors)}
    shared = [fold for fold in zip(*known.values(), strict=True) if all(errors is not None for errors in fold)]
    joined = (np.concatenate(errors) for errors in zip(*shared, strict=True))
    return {name: errors * errors for name, errors in zip(known, joined, strict=False)}


def _place(fit: LawFit, most: int, mean: float | None) -> tuple[bool, bool, float, bool, float]:
    adjusted = (1.0 - fit.r2_log) * (fit.n_rows - 1) / max(1, fit.n_rows - fit.solution.size)
    held_out = fit.held_out_rmse_log
    return (
        fit.n_rows < most,
        mean is None,
        mean or 0.0,
        held_out is None,
        adjusted if held_out is None else held_out,
    )
