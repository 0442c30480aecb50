"""STORE or TABLE → the best model under a budget of compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.inputs import (
    ALL_ROWS,
    ColumnMap,
    Evidence,
    RowChoice,
    Source,
    from_store,
    gather,
    is_table,
    opened,
)
from orchestrator.analysis.tables import FLOPS
from orchestrator.errors import BadInput
from orchestrator.fitting import LawFit
from orchestrator.fitting.average.fit import AVERAGE, AverageFit
from orchestrator.fitting.axes import FloatArray, training_cost
from orchestrator.fitting.caution import Caution, cautions_json
from orchestrator.fitting.check import IMPLAUSIBLE, LEAST, MOST, QUALITIES, check_table, numeric_columns
from orchestrator.fitting.frontier.budget import Budget
from orchestrator.fitting.frontier.far_optimum import (
    budget_for_loss,
    budget_for_size,
    can_answer,
    data_for_loss,
    far_optimum,
)
from orchestrator.fitting.frontier.isoflop import extrapolated, profiles
from orchestrator.fitting.frontier.optimum import Optimum, best_optimum, optimum, outside
from orchestrator.spec.quantities import parse_real

#: Laws tried beside those that the sweep names.
SATURATING: Final = ("chinchilla", "data_constrained")
#: Budgets of a curve, as factors: a decade either side.
CURVE: Final = tuple(10.0 ** (step / 4) for step in range(-4, 5))
#: Rows whose FLOPs a parameter and token differ by more than this factor are said to.
MOST_SPREAD: Final = 1.1
#: Ratio of two sizes up to which profiles and answer agree.
AGREE: Final = 1.5


def positive(flag: str, text: str | None, missing: float, *, least: float = 0.0) -> float:
    """Return the number that a person wrote behind a flag, or ``missing`` where it was left out.

    Raises
    ------
    BadInput
        If it is no number above zero, or less than the ``least``.
    """
    if text is None:
        return missing
    try:
        number = parse_real(text)
    except ValueError as failure:
        raise BadInput(f"{flag} {failure}") from failure
    if number <= 0:
        raise BadInput(f"{flag} must be above 0, not {text}")
    if not LEAST <= number <= MOST:
        raise BadInput(f"{flag} is {text}: {IMPLAUSIBLE}")
    if number < least:
        raise BadInput(f"{flag} must be at least {least:g}, not {text}")
    return number


def gather_pretrained(
    where: Source,
    *,
    mapping: ColumnMap | None,
    task: str | None,
    recipe: str | None,
    sweep: str | None,
    target: str | None = None,
    rows: RowChoice = ALL_ROWS,
) -> Evidence:
    """Return the points of a table, or the pretrained rows of a store where no task is named.

    Raises
    ------
    BadInput
        As `gather`.
    """
    if is_table(where) or task is not None:
        return gather(where, mapping=mapping, sweep=sweep, task=task, recipe=recipe, target=target, rows=rows)
    store = opened(where)
    return from_store(
        store, store.only_sweep(sweep), recipe=recipe, finetuned=False, target=target, mapping=mapping, rows=rows
    )


def compute_optimal(
    evidence: Evidence,
    *,
    flops: float | None = None,
    served: float = 0.0,
    d_max: float = math.inf,
    e_max: float = math.inf,
    law: str | None = None,
    curve: bool = False,
    loss: float | None = None,
    n: float | None = None,
    d: float | None = None,
) -> dict[str, Any]:
    """Return the compute-optimal N, D, E and loss as a document.

    Parameters
    ----------
    flops, served, d_max, e_max
        As `Budget` takes them.
    law
        The law to answer by; by default the default answer, `average`.
    curve
        Also answer for budgets from a tenth to ten times ``flops``.
    loss, n, d
        Instead of ``flops``: the cheapest budget that reaches a loss; the budget whose best model has so many
        parameters, or takes so much data; with ``n`` and ``loss`` the data that a model of that size needs.

    Raises
    ------
    BadInput
        If there is no optimum, or the budget pays for nothing.
    """
    each, spread = flops_per_nde(evidence)
    by_size = own_flops(evidence)
    start = flops if flops is not None else 1e18
    budget = Budget(flops=start, flops_per_nde=each or 6.0, served=served, d_max=d_max, e_max=e_max, by_size=by_size)
    if flops is not None:
        budget.sizes()
    measured = check_table(evidence.axes, evidence.settings["target"])
    fits, answer = _fits(evidence, law)
    asked: dict[str, Any] = {}
    if flops is None:
        budget, asked = _asked_back(answer, budget, loss, n, d)
    if isinstance(answer, AverageFit):
        found = far_optimum(answer, budget, measured)
    else:
        found = best_optimum(fits.values(), budget, measured)

    def at(budget: Budget) -> Optimum:
        if isinstance(answer, AverageFit):
            return far_optimum(answer, budget, measured)
        return optimum(fits[found.law], budget, measured)

    points, without = _curve(at, budget, measured) if curve else ([], [])
    beside = _parabola(evidence, measured, budget)
    document: dict[str, Any] = {
        "target": evidence.settings["target"],
        **_point(found),
        **found.details,
        **asked,
        "law": found.law,
        "by": answer.predictor.kind if isinstance(answer, AverageFit) else f"law {found.law}",
        "flops_per_nde": _each(budget, found),
        "flops_per_nde_from": "table" if by_size else "6ND" if each is None else "store",
        "served_tokens": served,
        "parabola": beside,
        "d_means": (evidence if math.isinf(d_max) else replace(evidence, d_counts="unique")).d_means,
        "warnings": [*evidence.notes, *spread, *found.warnings, *_apart(found, beside), *without],
    }
    document["cautions"] = cautions_json(document["warnings"])
    return document | ({"curve": points} if curve else {})


def _asked_back(
    answer: AverageFit | None, budget: Budget, loss: float | None, n: float | None, d: float | None
) -> tuple[Budget, dict[str, Any]]:
    """Return the budget behind a question for a loss, a size or data, and what else answers it."""
    if answer is None:
        raise BadInput("`loss`, `n` and `d` are answered by the default answer on n and d: leave out `law`")
    if n is not None and d is not None:
        raise BadInput("give `n` or `d`, not both: the other one is the answer")
    if loss is not None and d is not None:
        raise BadInput("give `loss` with `n`, or alone")
    if loss is not None and n is not None:
        needed = data_for_loss(answer, n, loss)
        flops = float(budget.cost(np.array(np.log(n)), np.array(needed)))
        cheapest = budget_for_loss(answer, budget, loss)
        asked = {"asked": {"n": n, "loss": loss}, "d_needed": needed, "flops_needed": flops}
        return cheapest, asked | {"over_cheapest": flops / cheapest.flops}
    if loss is not None:
        return budget_for_loss(answer, budget, loss), {"asked": {"loss": loss}}
    return budget_for_size(answer, budget, n=n, d=d), {"asked": {"n": n} if n is not None else {"d": d}}


def own_flops(evidence: Evidence) -> tuple[FloatArray, FloatArray] | None:
    """Return ln n, ascending, and the median ln k = ln(flops / data seen / n) there, by a table's own FLOPs."""
    if FLOPS not in evidence.axes.column_names or not {"n", "d"} <= set(evidence.axes.column_names):
        return None
    columns = numeric_columns(
        evidence.axes, [x for x in ("n", "d", "e", "unique_d", FLOPS) if x in evidence.axes.column_names]
    )
    log_n = np.log(columns["n"])
    each = np.log(columns[FLOPS]) - np.log(training_cost(columns))
    sizes = np.unique(np.round(log_n, 9))
    medians = np.array([float(np.median(each[np.abs(log_n - size) < 1e-8])) for size in sizes])
    return sizes.astype(np.float64), medians


def _each(budget: Budget, found: Optimum) -> float:
    return float(budget.each(np.array(np.log(found.n.value or 1.0))))


def _apart(found: Optimum, beside: dict[str, Any] | None) -> list[str]:
    """Say where the parabolas through the rows' own budgets disagree with the answer."""
    if not beside or beside["n"] is None or found.n.value is None:
        return []
    ratio = beside["n"] / found.n.value
    inside = (found.n.lo or 0.0) <= beside["n"] <= (found.n.hi or math.inf)
    if inside or 1 / AGREE < ratio < AGREE:
        return []
    text = (
        f"the rows' own IsoFLOP profiles say n = {beside['n']:.3g}, {ratio:.2g} times this answer: they disagree, and "
        "neither is to be relied on before more sizes about both are tried"
    )
    return [Caution(text, "profiles_disagree", ratio=ratio, n=beside["n"])]


def _parabola(evidence: Evidence, measured: Mapping[str, FloatArray], budget: Budget) -> dict[str, Any] | None:
    """Return N* by parabolas through the IsoFLOP profiles of the rows, None where they hold none.

    Budgets are those of n·d·e, or of the table's own FLOPs.
    """
    target = evidence.settings["target"]
    if target in QUALITIES or not {"n", "d"} <= set(measured):
        return None
    each, spent = budget.flops_per_nde, dict(measured)
    if budget.by_size is not None:
        own = numeric_columns(evidence.axes, [FLOPS])[FLOPS]
        each, spent = 1.0, {"n": measured["n"], "d": own / measured["n"]}
    found = profiles(spent, measured[target])
    if not found:
        return None
    return {
        "n": extrapolated(found, budget.flops / each),
        "profiles": [{"flops": each * profile.nde, "n": profile.n} for profile in found],
    }


def flops_per_nde(evidence: Evidence) -> tuple[float | None, list[str]]:
    """Return the median of flops / (n·d·e) over a store's pretrained rows, None where it has none, and what to know."""
    if evidence.store is None:
        return None, []
    rows = evidence.store.results(evidence.sweep)
    wanted = pc.and_(pc.equal(rows["status"], "ok"), pc.is_null(rows["finetune_examples"]))
    rows = rows.filter(pc.and_(wanted, pc.is_null(rows["compression_method"])))
    axes = pa.table(
        {
            "flops": rows["flops"],
            "n": rows["params_non_embedding"],
            "d": pc.coalesce(rows["data_tokens"], rows["data_examples"]),
            "e": rows["epochs"],
        }
    ).drop_null()
    flops, n, d, e = (axes[name].cast(pa.float64()).to_numpy() for name in axes.column_names)
    ratio = (flops / (n * d * e))[flops > 0]
    if not ratio.size:
        return None, []
    median = float(np.median(ratio))
    if ratio.max() <= MOST_SPREAD * ratio.min():
        return median, []
    return median, [
        f"flops / (n·d·e) runs from {ratio.min():.3g} to {ratio.max():.3g} in these rows, as embeddings and attention "
        f"cost too; the median, {median:.3g}, stands for every size"
    ]


def _fits(evidence: Evidence, law: str | None) -> tuple[dict[str, LawFit], AverageFit | None]:
    """Return the laws, best first, and the default answer where it is asked for and splits a budget."""
    laws: Sequence[str] | None = None if law in (None, AVERAGE) else [str(law)]
    if laws is None and evidence.settings["laws"] is not None:
        laws = list(dict.fromkeys([*evidence.settings["laws"], *SATURATING, AVERAGE]))
    report = evidence.fit(laws=laws)
    answer = report.best if can_answer(report.best) else None
    single = {name: report.fits[name] for name in report.ranking if name != AVERAGE}
    return single, answer if isinstance(answer, AverageFit) else None


def _point(found: Optimum) -> dict[str, Any]:
    return {"flops": found.budget.flops, **{name: getattr(found, name).to_json() for name in ("n", "d", "e", "loss")}}


def _curve(
    answered: Callable[[Budget], Optimum], budget: Budget, measured: Mapping[str, FloatArray]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the optima at budgets a decade either side, and which have none or one outside the rows."""
    points, beyond, without = [], [], []
    for factor in CURVE:
        at = replace(budget, flops=budget.flops * factor)
        try:
            found = answered(at)
        except BadInput as reason:
            without.append(f"no optimum for {at.flops:.3g} FLOPs: {reason}")
        else:
            points.append(_point(found))
            beyond += [f"{at.flops:.3g}"] if outside(found, measured) else []
    if beyond:
        without.append(f"of the curve's {len(CURVE)} budgets, {', '.join(beyond)} have optima outside the rows")
    return points, without
