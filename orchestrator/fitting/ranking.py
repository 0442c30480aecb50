"""Which law to believe: the one that predicts dearer rows best, or a simpler one that does so nearly as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.caution import codes
from orchestrator.fitting.result import LawFit

#: Blocks below which their standard error says nothing, and that of rows is taken.
FEWEST_BLOCKS: Final = 3
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


def ranking(
    fits: Mapping[str, LawFit], ahead: Mapping[str, Ahead], blocks: Sequence[NDArray[np.intp]] | None = None
) -> Ranking:
    """Rank laws by their errors on dearer rows, over the folds that all who have any could be fitted on.

    First stands, among the laws within one standard error of the smallest mean square, the one with the fewest
    parameters (Breiman et al. 1984, section 3.4.3). Laws without such errors follow by held-out error, then by R²
    adjusted for parameters; laws of the uncompressed rows alone stand behind those of all rows. Laws whose loss gets
    worse with N or D among the rows, though it doesn't there, stand behind all others.

    Parameters
    ----------
    blocks
        For each fold the rows ahead that are one piece of evidence, such as those of one run: the standard error is
        that over blocks. By default every row is.
    """
    most = max((fit.n_rows for fit in fits.values()), default=0)
    able = {name: errors for name, errors in ahead.items() if "not_monotone" not in codes(fits[name].warnings)}
    squares = {name: joined for name, (joined, _) in _common(fits, able or ahead, most, blocks).items() if joined.size}
    mean = {name: float(values.mean()) for name, values in squares.items()}
    names = sorted(fits, key=lambda name: _place(fits[name], most, mean.get(name)))
    near = names[:1]
    if mean:
        best = min(mean, key=lambda name: mean[name])
        of = next(ids for _, ids in _common(fits, able or ahead, most, blocks).values())
        most_near = mean[best] + _standard_error(squares[best], of)
        near = [name for name in names if name in mean and mean[name] <= most_near]
        simple = min(near, key=lambda name: (fits[name].solution.size, mean[name]))
        names.remove(simple)
        names.insert(0, simple)
    return Ranking(names, {name: value**0.5 for name, value in mean.items()}, near)


def _standard_error(squares: FloatArray, of: NDArray[np.intp]) -> float:
    """Return that of the mean of squares, whose blocks are independent and whose rows aren't."""
    sums = np.bincount(of, squares - squares.mean())
    count = int((np.bincount(of) > 0).sum())
    if count < FEWEST_BLOCKS:
        return float(squares.std() / np.sqrt(squares.size))
    return float(np.sqrt((sums**2).sum() * count / (count - 1))) / squares.size


def _common(
    fits: Mapping[str, LawFit], ahead: Mapping[str, Ahead], most: int, blocks: Sequence[NDArray[np.intp]] | None
) -> dict[str, tuple[FloatArray, NDArray[np.intp]]]:
    """Squared errors of each law of all rows and the blocks of those rows, over the folds that all laws share."""
    known = {name: ahead[name] for name in ahead if fits[name].n_rows == most}
    known = {name: errors for name, errors in known.items() if any(e is not None for e in errors)}
    folds = list(zip(*known.values(), strict=True))
    kept = [k for k, fold in enumerate(folds) if all(errors is not None for errors in fold)]
    if not kept:
        return {}
    joined = [np.concatenate([folds[k][law] for k in kept]) for law in range(len(known))]
    fits_blocks = blocks is not None and all(len(blocks[k]) == folds[k][0].size for k in kept)
    of = np.concatenate([blocks[k] for k in kept]) if blocks is not None and fits_blocks else np.arange(joined[0].size)
    return {name: (errors * errors, of) for name, errors in zip(known, joined, strict=True)}


def _place(fit: LawFit, most: int, mean: float | None) -> tuple[bool, bool, bool, float, bool, float]:
    adjusted = (1.0 - fit.r2_log) * (fit.n_rows - 1) / max(1, fit.n_rows - fit.solution.size)
    held_out = fit.held_out_rmse_log
    return (
        "not_monotone" in codes(fit.warnings),
        fit.n_rows < most,
        mean is None,
        mean or 0.0,
        held_out is None,
        adjusted if held_out is None else held_out,
    )
