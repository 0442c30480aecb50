"""Which way to predict suits the rows, and the fit that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from orchestrator.fitting.average.far import FarPredictor, effective
from orchestrator.fitting.average.fit import AVERAGE, AverageFit
from orchestrator.fitting.average.mean_of_laws import MeanOfLaws
from orchestrator.fitting.axes import AXES, FloatArray, Mask, distinct, law_axes, training_cost, varies
from orchestrator.fitting.ranking import Ahead
from orchestrator.fitting.result import LawFit
from orchestrator.fitting.solver.huber import huber_sum

#: Law whose R_D says what repeated data are worth.
REPEATING: Final = "data_constrained"
#: Rows at distinct points below which the far answer has nothing to go by.
FEWEST_POINTS: Final = 5


def average_of(
    columns: Mapping[str, FloatArray],
    loss: FloatArray,
    target: str,
    held: Mask | None,
    fits: Mapping[str, LawFit],
    ahead: Mapping[str, Ahead],
    ranking: list[str],
    *,
    quality: bool,
) -> AverageFit | None:
    """Return the default answer, or None where no law could be fitted.

    Parameters
    ----------
    columns, loss
        Axes as the table has them, and the loss (1/quality for a quality), each of shape (rows,).
    held
        Rows held out from a second fit.
    fits, ahead, ranking
        Of the laws: what was fitted, errors ahead by fold, names best first.
    """
    if not fits:
        return None
    predictor: FarPredictor | MeanOfLaws
    worth = _worth(columns, fits)
    if _is_far(columns, worth, quality=quality):
        predictor = FarPredictor.fitted(columns, loss, *worth)
        forward = predictor.answer.floors.rolling_rmse
    else:
        predictor = _mean(columns, loss, fits, ahead, ranking)
        forward = None
    held_out = None
    if held is not None and isinstance(predictor, FarPredictor):
        held_out = _held_out(columns, loss, held, *worth)
    elif isinstance(predictor, MeanOfLaws):
        errors = [law.held_out_rmse_log for law in predictor.laws]
        if all(error is not None for error in errors):
            held_out = float(np.sqrt(predictor.weights @ np.square(np.array(errors, dtype=np.float64))))
    best = fits[ranking[0]]
    residuals = np.log(loss) - predictor.log_loss(columns)
    spread = float(((np.log(loss) - np.log(loss).mean()) ** 2).sum())
    return AverageFit(
        law=AVERAGE,
        target=target,
        axes=tuple(axis for axis in AXES if axis in columns),
        params=best.params,
        objective=huber_sum(residuals),
        r2_log=1.0 - float((residuals**2).sum()) / spread,
        held_out_rmse_log=held_out,
        n_rows=loss.size,
        warnings=list(predictor.table_cautions()),
        solution=best.solution,
        draws=best.draws[:0],
        residuals=residuals[:0],
        rolling_rmse_log=forward,
        dearest=float(training_cost(columns).max() * (1 + 1e-9)),
        predictor=predictor,
        params_of=best.law,
    )


def _is_far(columns: Mapping[str, FloatArray], worth: tuple[float | None, object], *, quality: bool) -> bool:
    """Return whether n and data are all that varies, repeated data as what they are worth."""
    if quality or not {"n", "d"} <= set(columns):
        return False
    if any(axis in columns and varies(columns[axis]) for axis in ("ft_d", "ft_e", "eps")):
        return False
    axes = law_axes(columns, data_seen=True)
    repeated = "unique_d" in axes and bool(np.any(axes["d"] > axes["unique_d"] * (1 + 1e-6)))
    if repeated and worth[0] is None:
        return False
    at = effective(columns, worth[0])
    if not (varies(at["n"]) or varies(at["d"])):
        return False
    return distinct(at["n"] * np.sqrt(at["d"])) >= FEWEST_POINTS


def _worth(
    columns: Mapping[str, FloatArray], fits: Mapping[str, LawFit]
) -> tuple[float | None, tuple[float, float] | None]:
    """Return R_D and the ends of its interval, where rows repeat data and a law tells what that is worth."""
    fit = fits.get(REPEATING)
    if fit is None:
        return None, None
    place = list(fit.params).index("R_D")
    value = float(fit.solution[place])
    if len(fit.draws) < 2:
        return value, None
    low, high = np.quantile(fit.draws[:, place], [0.05, 0.95])
    return value, (float(low), float(high))


def _mean(
    columns: Mapping[str, FloatArray],
    loss: FloatArray,
    fits: Mapping[str, LawFit],
    ahead: Mapping[str, Ahead],
    ranking: list[str],
) -> MeanOfLaws:
    """Return the mean of the laws that know every axis that varies; of the nearest to the best where none does."""
    moving = {axis for axis in AXES if axis in columns and varies(columns[axis])}
    most = max(fit.n_rows for fit in fits.values())
    known = [name for name in ranking if fits[name].n_rows == most]
    whole = [name for name in known if _knows(fits[name], moving)] or known
    tried = [name for name in whole if any(errors is not None for errors in ahead[name])]
    chosen = tried or whole[:1]
    return MeanOfLaws.fitted([fits[name] for name in chosen], [ahead[name] for name in chosen], columns, loss)


def _knows(fit: LawFit, moving: set[str]) -> bool:
    axes = set(fit.axes)
    if "unique_d" in axes:
        axes |= {"e", "unique_d"}
    if "e" in axes and "unique_d" in moving:
        axes |= {"unique_d"}
    return moving <= axes


def _held_out(
    columns: Mapping[str, FloatArray],
    loss: FloatArray,
    held: Mask,
    worth: float | None,
    ends: tuple[float, float] | None,
) -> float | None:
    rest = ~held
    known = {name: values[rest] for name, values in columns.items()}
    if not _is_far(known, (worth, ends), quality=False):
        return None
    found = FarPredictor.fitted(known, loss[rest], worth, ends)
    off = found.log_loss({name: values[held] for name, values in columns.items()}) - np.log(loss[held])
    return float(np.sqrt(np.mean(off**2)))
