"""STORE or TABLE → the best model under a budget of compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.inputs import ColumnMap, Evidence, Source, from_store, gather, is_table, opened
from orchestrator.errors import BadInput
from orchestrator.fitting import LawFit
from orchestrator.fitting.axes import FloatArray
from orchestrator.fitting.check import IMPLAUSIBLE, LEAST, MOST, QUALITIES, check_table
from orchestrator.fitting.frontier.budget import Budget
from orchestrator.fitting.frontier.isoflop import extrapolated, profiles
from orchestrator.fitting.frontier.optimum import Optimum, best_optimum, optimum, outside
from orchestrator.spec.quantities import parse_real

#: Laws tried beside those that the sweep names.
SATURATING: Final = ("chinchilla", "data_constrained")
#: Budgets of a curve, as factors: a decade either side.
CURVE: Final = tuple(10.0 ** (step / 4) for step in range(-4, 5))
#: Rows whose FLOPs a parameter and token differ by more than this factor are said to.
MOST_SPREAD: Final = 1.1


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
    where: Source, *, mapping: ColumnMap | None, task: str | None, recipe: str | None, sweep: str | None
) -> Evidence:
    """Return the points of a table, or the pretrained rows of a store where no task is named.

    Raises
    ------
    BadInput
        As `gather`.
    """
    if is_table(where) or mapping is not None or task is not None:
        return gather(where, mapping=mapping, sweep=sweep, task=task, recipe=recipe)
    store = opened(where)
    return from_store(store, store.only_sweep(sweep), recipe=recipe, finetuned=False)


def compute_optimal(
    evidence: Evidence,
    *,
    flops: float,
    served: float = 0.0,
    d_max: float = math.inf,
    e_max: float = math.inf,
    law: str | None = None,
    curve: bool = False,
) -> dict[str, Any]:
    """Return the compute-optimal N, D, E and loss as a document.

    Parameters
    ----------
    flops, served, d_max, e_max
        As `Budget` takes them.
    law
        The law to answer by; by default the best of the sweep's that has an optimum, else a saturating one.
    curve
        Also answer for budgets from a tenth to ten times ``flops``.

    Raises
    ------
    BadInput
        If no law has an optimum, or the budget pays for nothing.
    """
    each, spread = flops_per_nde(evidence)
    budget = Budget(flops=flops, flops_per_nde=each or 6.0, served=served, d_max=d_max, e_max=e_max)
    budget.sizes()
    measured = check_table(evidence.axes, evidence.settings["target"])
    fits = _fits(evidence, law)
    found = best_optimum(fits.values(), budget, measured)
    points, without = _curve(fits[found.law], budget, measured) if curve else ([], [])
    document: dict[str, Any] = {
        "target": evidence.settings["target"],
        **_point(found),
        "law": found.law,
        "flops_per_nde": budget.flops_per_nde,
        "flops_per_nde_from": "6ND" if each is None else "store",
        "served_tokens": served,
        "parabola": _parabola(measured, evidence.settings["target"], budget),
        "d_means": (evidence if math.isinf(d_max) else replace(evidence, d_counts="unique")).d_means,
        "warnings": [*evidence.notes, *spread, *found.warnings, *without],
    }
    return document | ({"curve": points} if curve else {})


def _parabola(measured: Mapping[str, FloatArray], target: str, budget: Budget) -> dict[str, Any] | None:
    """Return N* by parabolas through the IsoFLOP profiles of the rows, None where they hold none."""
    if target in QUALITIES or not {"n", "d"} <= set(measured):
        return None
    found = profiles(measured, measured[target])
    if not found:
        return None
    each = budget.flops_per_nde
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


def _fits(evidence: Evidence, law: str | None) -> dict[str, LawFit]:
    laws: Sequence[str] | None = [law] if law else evidence.settings["laws"]
    if laws is not None and law is None:
        laws = list(dict.fromkeys([*laws, *SATURATING]))
    report = evidence.fit(laws=laws)
    return {name: report.fits[name] for name in report.ranking}


def _point(found: Optimum) -> dict[str, Any]:
    return {"flops": found.budget.flops, **{name: getattr(found, name).to_json() for name in ("n", "d", "e", "loss")}}


def _curve(fit: LawFit, budget: Budget, measured: Mapping[str, FloatArray]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the optima at budgets a decade either side by one law, and which have none or one outside the rows."""
    points, beyond, without = [], [], []
    for factor in CURVE:
        at = replace(budget, flops=budget.flops * factor)
        try:
            found = optimum(fit, at, measured)
        except BadInput as reason:
            without.append(f"no optimum for {at.flops:.3g} FLOPs: {reason}")
        else:
            points.append(_point(found))
            beyond += [f"{at.flops:.3g}"] if outside(found, measured) else []
    if beyond:
        without.append(f"of the curve's {len(CURVE)} budgets, {', '.join(beyond)} have optima outside the rows")
    return points, without
