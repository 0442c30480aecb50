"""The compute-optimal N, D and E by the default answer, with intervals, and the questions that go the other way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.fitting.average.far import FarPredictor, effective
from orchestrator.fitting.average.fit import AverageFit
from orchestrator.fitting.axes import FloatArray, law_axes
from orchestrator.fitting.far.optima import drawn_splits, exponents, split
from orchestrator.fitting.frontier.budget import Budget
from orchestrator.fitting.frontier.optimum import Optimum, outside
from orchestrator.fitting.result import Estimate

#: Points of the search along a budget, and how often it narrows.
STEPS: Final = 801
PASSES: Final = 3
ENDS: Final = (0.05, 0.95)
#: Budgets that are searched for a loss or a size, from one to this.
LARGEST_FLOPS: Final = 1e40
#: Step in ln n over which the cost of a token is looked at.
STEP: Final = 0.2
#: Share of the variance of ln d that is its own below which the rows tell no split.
TOLD_APART: Final = 4e-3


def can_answer(fit: object) -> bool:
    """Return whether the default answer splits a budget: it knows n and data, and both vary."""
    return isinstance(fit, AverageFit) and isinstance(fit.predictor, FarPredictor)


def far_optimum(fit: AverageFit, budget: Budget, measured: Mapping[str, FloatArray]) -> Optimum:
    """Return where on a budget the default answer's loss is least.

    Raises
    ------
    BadInput
        If its rows can't tell N from D, or the least loss lies at an end of the budget.
    """
    predictor = fit.predictor
    assert isinstance(predictor, FarPredictor)
    _check_told_apart(predictor, measured)
    log_n = _least(predictor, budget)
    drawn, slope = _drawn(predictor, budget)
    d, e = (float(values) for values in budget.split(np.array(log_n), np.array(0.0)))
    sizes = np.exp(drawn)
    unique, epochs = budget.split(drawn, np.zeros(drawn.size))
    point = _table(measured, np.exp(log_n), d, e)
    lo, hi = fit.predict_interval(point)
    found = Optimum(
        fit.law,
        budget,
        _estimate(float(np.exp(log_n)), sizes),
        _estimate(d, unique),
        _estimate(e, epochs),
        Estimate(float(fit.predict(point)[0]), float(lo[0]), float(hi[0])),
        [],
    )
    found.warnings.extend([*fit.warnings, *fit.cautions(point)])
    if e > 1 and predictor.worth is None:
        found.warnings.append("repeated data count as fresh data: no row repeats its data")
    if not fit.cautions(point):
        found.warnings.extend(outside(found, measured))
    seen = unique * epochs
    found.details["tokens_per_param"] = _estimate(d * e / float(np.exp(log_n)), seen / sizes).to_json()
    found.details["exponents"] = {
        "n": _estimate(float(np.median(slope)), slope).to_json(),
        "d": _estimate(float(np.median(1 - slope)), 1 - slope).to_json(),
    }
    return found


def budget_for_loss(fit: AverageFit, budget: Budget, loss: float) -> Budget:
    """Return the cheapest budget that reaches a loss.

    Raises
    ------
    BadInput
        If none does.
    """

    def excess(log_flops: float) -> float:
        at = replace(budget, flops=float(np.exp(log_flops)))
        predictor = fit.predictor
        assert isinstance(predictor, FarPredictor)
        log_n = _least(predictor, at)
        d, e = (float(values) for values in at.split(np.array(log_n), np.array(0.0)))
        return float(_trend(predictor, np.array([np.exp(log_n)]), np.array([d]), np.array([e]))[0] - np.log(loss))

    least = float(np.log(_smallest(budget)))
    found = _root(excess, least, float(np.log(LARGEST_FLOPS)))
    if found is None:
        raise BadInput(f"no budget reaches a loss of {loss:g} by these rows: ask for a larger loss")
    return replace(budget, flops=float(np.exp(found)))


def data_for_loss(fit: AverageFit, n: float, loss: float) -> float:
    """Return the data seen with which a model of a size reaches a loss.

    Raises
    ------
    BadInput
        If no amount does.
    """
    predictor = fit.predictor
    assert isinstance(predictor, FarPredictor)

    def excess(log_d: float) -> float:
        d = np.array([np.exp(log_d)])
        return float(_trend(predictor, np.array([n]), d, np.ones(1))[0] - np.log(loss))

    found = _root(excess, 0.0, float(np.log(1e24)))
    if found is None:
        raise BadInput(
            f"a model of {n:.3g} parameters never reaches a loss of {loss:g} by these rows: take a larger one"
        )
    return float(np.exp(found))


def budget_for_size(fit: AverageFit, budget: Budget, *, n: float | None, d: float | None) -> Budget:
    """Return the budget whose best model has so many parameters, or takes so much data.

    Raises
    ------
    BadInput
        If none has.
    """
    predictor = fit.predictor
    assert isinstance(predictor, FarPredictor)

    def excess(log_flops: float) -> float:
        at = replace(budget, flops=float(np.exp(log_flops)))
        log_n = _least(predictor, at)
        if n is not None:
            return float(np.log(n) - log_n)
        unique, epochs = at.split(np.array(log_n), np.array(0.0))
        return float(np.log(d or 1.0) - np.log(float(unique * epochs)))

    found = _root(excess, float(np.log(_smallest(budget))), float(np.log(LARGEST_FLOPS)))
    if found is None:
        raise BadInput("no budget has such a best model by these rows")
    return replace(budget, flops=float(np.exp(found)))


def _smallest(budget: Budget) -> float:
    return float(budget.each(np.array(-np.inf))) * 1e4 * (1.0 + budget.served)


def _root(excess: Any, low: float, high: float) -> float | None:
    """Return where a falling function crosses zero, by bisection; None where it doesn't."""
    if excess(low) <= 0:
        return low
    if excess(high) > 0:
        return None
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        if high - low < 1e-9:
            break
    return high


def _least(predictor: FarPredictor, budget: Budget) -> float:
    """Return ln n of the least loss along a budget.

    Raises
    ------
    BadInput
        If that lies at an end of the budget.
    """
    ends = [float(np.log(size)) for size in budget.sizes()]
    low, high = ends
    for _ in range(PASSES):
        log_n = np.linspace(low, high, STEPS)
        d, e = budget.split(log_n, np.zeros(STEPS))
        loss = _trend(predictor, np.exp(log_n), d, e)
        at, step = int(np.argmin(loss)), log_n[1] - log_n[0]
        low, high = max(ends[0], log_n[at] - 2 * step), min(ends[1], log_n[at] + 2 * step)
    best = float(log_n[at])
    middle = min(max(at, 1), STEPS - 2)
    left, centre, right = loss[middle - 1 : middle + 2]
    bend = left - 2 * centre + right
    if bend > 0 and at == middle:
        best += float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5) * step)
    if best >= ends[1] - 1e-6 or (best <= ends[0] + 1e-6 and not budget.runs_out):
        raise BadInput(
            "the least loss lies at an end of the budget: these rows don't tell N from D; add sizes and data"
        )
    return best


def _trend(predictor: FarPredictor, n: FloatArray, d: FloatArray, e: FloatArray) -> FloatArray:
    return predictor.answer.trend(effective({"n": n, "d": d, "e": e}, predictor.worth))


def _drawn(predictor: FarPredictor, budget: Budget) -> tuple[FloatArray, FloatArray]:
    """Return ln n of the least loss of each draw, and each draw's exponent of N over compute.

    Where the cost of a token goes with the size, so does the product n·d along the budget: a few steps settle it.
    """
    draws = drawn_splits(predictor.answer)
    centre = predictor.answer.floors.centre
    low, high = (float(np.log(size)) for size in budget.sizes())
    log_n = np.full(len(draws), 0.5 * (low + high))
    for _ in range(20):
        each = budget.each(log_n)
        seen = np.maximum(budget.flops / (each * np.exp(log_n)) - budget.served / 3.0, 1.0)
        product = np.log(seen) + log_n - sum(centre)
        dearer = np.log(
            np.maximum(1.0 + np.log(budget.each(log_n + STEP) / budget.each(log_n - STEP)) / (2 * STEP), 0.1)
        )
        tilted = draws - np.column_stack([dearer, *([np.zeros(len(draws))] * 3)])
        log_n = np.clip(0.5 * (log_n + split(tilted, product) + centre[0]), low, high)
    return log_n, exponents(draws)


def _check_told_apart(predictor: FarPredictor, measured: Mapping[str, FloatArray]) -> None:
    """Refuse rows in which data follow from the size, up to a tenth of the spread of either."""
    axes = law_axes(measured, data_seen=True)
    n, d = np.log(axes["n"]), np.log(axes["d"])
    if n.std() < 1e-9 or d.std() < 1e-9:
        raise BadInput("n or data have one value in these rows, which tells no split of a budget; add other values")
    if 1.0 - np.corrcoef(n, d)[0, 1] ** 2 < TOLD_APART:
        raise BadInput(
            "n and d move together in these rows, so that no law can split a budget; add cells where d changes at "
            "fixed n"
        )


def _table(measured: Mapping[str, FloatArray], n: float, d: float, e: float) -> pa.Table:
    columns = {"n": [float(n)], "d": [d]}
    if "unique_d" in measured:
        columns = {"n": [float(n)], "d": [d * e], "unique_d": [d]}
    elif "e" in measured or e > 1:
        columns["e"] = [e]
    return pa.table(columns)


def _estimate(value: float, draws: FloatArray) -> Estimate:
    """The value with the ends of its draws, which hold it."""
    lo, hi = np.quantile(draws, ENDS)
    return Estimate(value, min(float(lo), value), max(float(hi), value))
