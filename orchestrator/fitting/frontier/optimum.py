"""The compute-optimal N, D and E of a fitted law, with the bootstrap's intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray, law_axes
from orchestrator.fitting.diagnostics import counts_as_fresh
from orchestrator.fitting.frontier.budget import Budget
from orchestrator.fitting.frontier.search import Search
from orchestrator.fitting.identifiability import not_identified
from orchestrator.fitting.law import Law
from orchestrator.fitting.result import Estimate, LawFit
from orchestrator.spec.registries import LAWS

LEVEL: Final = 0.9
ADVICE: Final = "take a law in which both saturate, such as chinchilla or data_constrained"


@dataclass(frozen=True, slots=True)
class Optimum:
    """N, D (unique), E and the loss there, each with a 90 % interval; an end that the draws leave open is None.

    ``details`` are further figures, JSON-able.
    """

    law: str
    budget: Budget
    n: Estimate
    d: Estimate
    e: Estimate
    loss: Estimate
    warnings: list[str]
    details: dict[str, Any] = field(default_factory=dict)


def optimum(fit: LawFit, budget: Budget, measured: Mapping[str, FloatArray]) -> Optimum:
    """Return where on the budget a law's loss is smallest.

    Minimises along the budget on a grid that narrows on the minima of all draws at once, and ends on a parabola
    through the three lowest points: exact to about 1e-9 for the law itself, to 1e-3 for a far-flung draw.

    Parameters
    ----------
    fit
        A law with n and d among its axes.
    budget
        Where ``e_max`` is open and the law weighs epochs by an exponent of their own, the most epochs measured cap
        them; a law that knows no epochs stays at one.
    measured
        Axes of the rows, each of shape (rows,): fine-tuning is held at its largest value, ε at 1.

    Returns
    -------
    Optimum
        The loss is that of one new run there, its interval as `LawFit.predict_interval`.

    Raises
    ------
    BadInput
        In one sentence, if the law has no optimum under this budget, can't tell N from D, or lacks one of them.
    """
    why = obstacle(fit, budget, measured)
    if why:
        raise BadInput(f"{why}; {ADVICE}")
    search = Search.of(fit, budget, measured)
    (log_n,), (share,) = search.minima(fit.solution[None])
    if not np.isfinite(log_n):
        raise BadInput(f"{fit.law} has no optimum under these limits; widen them")
    drawn, shares = search.minima(fit.draws)
    n, d, e = _estimates(search.budget, log_n, share, drawn, shares)
    found = Optimum(fit.law, budget, n, d, e, _loss(fit, search.fixed, n, d, e), [])
    found.warnings.extend(_warnings(fit, measured, found, drawn))
    return found


def best_optimum(fits: Iterable[LawFit], budget: Budget, measured: Mapping[str, FloatArray]) -> Optimum:
    """Return the optimum by the first law that has one; laws come best first.

    Where unique data is capped, laws that know what repeating it is worth come first.

    Raises
    ------
    BadInput
        If no law has, with each law's reason.
    """

    def blind(fit: LawFit) -> bool:
        return bool(np.isfinite(budget.d_max)) and not {"e", "unique_d"} & set(fit.axes)

    reasons: list[str] = []
    for fit in sorted(fits, key=blind):
        why = obstacle(fit, budget, measured)
        if why is None:
            found = optimum(fit, budget, measured)
            if reasons:
                found.warnings.insert(0, f"{fit.law} answers, since {'; '.join(reasons)}")
            return found
        reasons.append(why)
    raise BadInput("; ".join([*reasons, ADVICE]) if reasons else "no law could be fitted")


def obstacle(fit: LawFit, budget: Budget, measured: Mapping[str, FloatArray]) -> str | None:
    """Say why a law can't answer, or None: its rows can't tell N from D, or nothing in it stops N or D from growing.

    The latter is tried on the plain budget, without serving and without a cap on data, so that the same law answers
    with them and without.
    """
    law: Law = LAWS.load(fit.law)()
    for axis in ("n", "d"):
        if axis not in fit.axes:
            return f"{fit.law} knows no {axis} on these rows"
    for parameter in law.parameters(fit.axes):
        steers = parameter.role == "exponent" and {"n", "d"} & set(parameter.axes)
        withheld = fit.withheld.get(parameter.name)
        if steers and withheld is not None and withheld.cause != "wide_interval":  # a wide interval is an answer
            return f"{fit.law} can't split a budget: {not_identified(fit.withheld)[parameter.name]}"
    plain = replace(budget, served=0.0, d_max=np.inf)
    (log_n,), _ = Search.of(fit, plain, measured).minima(fit.solution[None])
    if np.isfinite(log_n):
        return None
    return (
        f"{fit.law} has no optimum inside a compute budget: by it every FLOP belongs into "
        f"{'N' if log_n > 0 else 'D'} alone"
    )


def _estimates(
    budget: Budget, log_n: float, share: float, drawn: FloatArray, shares: FloatArray
) -> tuple[Estimate, Estimate, Estimate]:
    """Return N, D and E; the draws that fall to an end of the budget count as infinitely far there."""
    inside = np.isfinite(drawn)
    unique, epochs = budget.split(np.where(inside, drawn, log_n), shares)
    unique = np.where(inside, unique, np.where(drawn > 0, 0.0, np.inf))
    d, e = budget.split(np.array([log_n]), np.array([share]))
    return (
        _estimate(float(np.exp(log_n)), np.exp(drawn)),
        _estimate(float(d[0]), unique),
        _estimate(float(e[0]), epochs[inside]),
    )


def _estimate(value: float, draws: FloatArray) -> Estimate:
    if not draws.size:
        return Estimate(value, None, None)
    ends = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    lo, hi = (float(end) if 0 < end < np.inf else None for end in ends)
    return Estimate(value, None if lo is None else min(lo, value), None if hi is None else max(hi, value))


def _loss(fit: LawFit, fixed: Mapping[str, float], n: Estimate, d: Estimate, e: Estimate) -> Estimate:
    point = pa.table({name: [value] for name, value in {"n": n.value, "d": d.value, "e": e.value, **fixed}.items()})
    value = float(fit.predict(point)[0])
    if not len(fit.draws):
        return Estimate(value, None, None)
    lo, hi = fit.predict_interval(point, LEVEL)
    return Estimate(value, float(lo[0]), float(hi[0]))


def outside(optimum: Optimum, measured: Mapping[str, FloatArray]) -> list[str]:
    """Say where an optimum lies outside the rows; nothing where it lies among them."""
    seen = (optimum.d.value or 0.0) * (optimum.e.value or 0.0)
    there = law_axes(measured, data_seen=True)
    return [
        f"the best {name}, {value:.3g}, lies outside the rows ({rows.min():.3g} to {rows.max():.3g}): "
        "the intervals don't hold the error of a law that is wrong out there"
        for name, value, rows in (("n", optimum.n.value or 0.0, there["n"]), ("data seen", seen, there["d"]))
        if not rows.min() <= value <= rows.max()
    ]


def _warnings(fit: LawFit, measured: Mapping[str, FloatArray], optimum: Optimum, drawn: FloatArray) -> list[str]:
    """Say what the law warns of, where the optimum lies outside the rows, and which share of the draws has none."""
    found = [*fit.warnings, *outside(optimum, measured)]
    if (optimum.e.value or 0.0) > 1 and not {"e", "unique_d"} & set(fit.axes):
        found = list(dict.fromkeys([*found, counts_as_fresh(fit.law)]))  # the fit may have said so
    if np.isinf(drawn).any():
        found.append(
            f"{np.isinf(drawn).mean():.0%} of the bootstrap's draws have no optimum inside the budget; "
            "an end of an interval that they reach has no number"
        )
    return found
