"""Groups compared: which group of runs (recipe, corpus, optimizer) scales better, by one law with exponents in common.

A law for each group by itself is ill-conditioned: its exponents take up what its factors should say. With shared
exponents the factors compare, and the answer is how much data one group needs to reach another's loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import fdtri

from orchestrator.errors import BadInput
from orchestrator.fitting.axes import FloatArray, Mask, distinct, law_axes
from orchestrator.fitting.check import QUALITIES, check_table
from orchestrator.fitting.laws.chinchilla import Chinchilla
from orchestrator.fitting.laws.grouped import GROUP, GroupedChinchilla
from orchestrator.fitting.result import Estimate
from orchestrator.fitting.sample import Sample, Units, centred
from orchestrator.fitting.table_words import missing_column

#: Groups at most, and rows of a group at least.
MOST_GROUPS: Final = 12
FEWEST_ROWS: Final = 6
#: Share of the rows, cheapest first, from which sharing is tested on the rest.
KNOWN_SHARE: Final = 0.8
#: With which the mean square errors must differ, as an F ratio, before exponents are said to; both hold the same noise,
#: so that it is met more seldom by chance.
CONFIDENCE: Final = 0.95
#: Share of the loss below which a group's term is none.
LEAST_SHARE: Final = 1e-3
#: Mean square errors of the log loss below this are rounding.
LEAST_SQUARE: Final = 1e-16


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Groups under one law.

    Parameters
    ----------
    by
        The column that tells the groups apart.
    shared
        ``alpha`` and ``beta``.
    groups
        ``E``, ``A`` and ``B`` of each group.
    factors
        (from, to) → the data that ``to`` needs for the loss that ``from`` has at ``at``, over the data of ``from``.
    at
        N and D of that point: the geometric means of the rows.
    shared_rmse_log, separate_rmse_log
        Errors on the dearer 20 % of the rows of fits to the others: with shared exponents, and of a law for each group.
    sharing_holds
        Whether shared exponents predict those rows as well: unless their mean square error is larger by more than an F
        ratio of `CONFIDENCE`; None where that can't be tried.
    """

    by: str
    shared: dict[str, Estimate]
    groups: dict[str, dict[str, Estimate]]
    factors: dict[tuple[str, str], Estimate]
    at: dict[str, float]
    shared_rmse_log: float | None
    separate_rmse_log: float | None
    sharing_holds: bool | None

    def sentences(self) -> list[str]:
        """Return the answer in words."""
        found, where = [], f"N = {self.at['n']:.3g}, D = {self.at['d']:.3g}"
        for (a, b), factor in self.factors.items():
            if factor.value is None:
                found.append(f"{b} never reaches {a}'s loss by more data alone (at {where})")
            else:
                ends = "" if factor.lo is None else f" [{_end(factor.lo)}, {_end(factor.hi)}]"
                found.append(f"{b} reaches {a}'s loss with {_end(factor.value)}×{ends} of the data (at {where})")
        for group, estimates in self.groups.items():
            lost = [name for name, estimate in estimates.items() if estimate.value is None]
            if lost:
                found.append(
                    f"{' and '.join(lost)} of {group} can't be told from 0: its rows gain nothing by "
                    f"{' or '.join('n' if name == 'A' else 'd' for name in lost)}"
                )
        if self.sharing_holds is False:
            found.append(
                "exponents differ between the groups: a law for each predicts dearer rows clearly better "
                f"({self.separate_rmse_log:.4f} against {self.shared_rmse_log:.4f}), so the factors hold near "
                f"{where} alone"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able dictionary."""
        return {
            "column": self.by,
            "law": Chinchilla.name,
            "shared": {name: value.to_json() for name, value in self.shared.items()},
            "groups": {g: {name: value.to_json() for name, value in of.items()} for g, of in self.groups.items()},
            "at": self.at,
            "comparisons": [{"from": a, "to": b, "data_factor": f.to_json()} for (a, b), f in self.factors.items()],
            "held_out_rmse_log": {"shared": self.shared_rmse_log, "separate": self.separate_rmse_log},
            "sharing_holds": self.sharing_holds,
            "sentences": self.sentences(),
        }


def fit_by(table: pa.Table, by: str, *, target: str = "loss", bootstrap: int = 1000, seed: int = 0) -> Comparison:
    """Fit one law with shared exponents to the groups of a table.

    Parameters
    ----------
    table
        As for `fit`, with the column ``by`` beside.
    bootstrap
        Replicas, drawn within each group, behind the 90 % intervals; 0 gives none.

    Raises
    ------
    BadInput
        If there is no such column, fewer than two or more than `MOST_GROUPS` groups, or a group has too few rows or
        one value of N or D.
    """
    if target in QUALITIES:
        raise BadInput(f"`by` compares losses, and {target} is a share that grows; fit a loss with it")
    if by not in table.column_names:
        raise BadInput(missing_column(table, by, "groups"))
    columns = check_table(table, target)
    axes = law_axes({k: v for k, v in columns.items() if k != target}, data_seen=True)
    names, group = np.unique(
        np.array(["none" if v is None else str(v) for v in table[by].to_pylist()]), return_inverse=True
    )
    _check(by, names.tolist(), group, axes)
    loss, pair = columns[target], {"n": axes["n"], "d": axes["d"]}
    law, everything = GroupedChinchilla(len(names)), np.ones(len(loss), dtype=bool)
    sample, units = _sample(pair, loss, group, everything)
    coords = law.solve(sample)
    drawn = law.resolve(sample, coords, _weights(group, bootstrap, seed)) if bootstrap else np.zeros((0, coords.size))
    moved = law.shift(np.concatenate([coords[None], drawn]), units.axes, units.loss)
    values = law.from_coords(moved, ("n", "d"))
    at = {axis: float(np.exp(np.mean(np.log(pair[axis])))) for axis in ("n", "d")}
    shared_rmse, separate_rmse, holds = _held_out(law, pair, loss, group)
    return Comparison(
        by=by,
        shared={"alpha": _estimate(values[:, 0]), "beta": _estimate(values[:, 1])},
        groups={
            name: {
                letter: Estimate(None, None, None)
                if _vanishes(letter, values[0, 2 + 3 * g + k], values[0], pair, loss, group == g)
                else _estimate(values[:, 2 + 3 * g + k])
                for k, letter in enumerate("EAB")
            }
            for g, name in enumerate(names.tolist())
        },
        factors={
            (names[a].item(), names[b].item()): _factor(_data_needed(values, a, b, at) / at["d"])
            for a, b in permutations(range(len(names)), 2)
        },
        at=at,
        shared_rmse_log=shared_rmse,
        separate_rmse_log=separate_rmse,
        sharing_holds=holds,
    )


def _check(by: str, names: list[str], group: NDArray[np.intp], axes: dict[str, FloatArray]) -> None:
    if not {"n", "d"} <= set(axes):
        raise BadInput("`by` needs the columns n and d; name them with `mapping`")
    if not 2 <= len(names) <= MOST_GROUPS:
        raise BadInput(f"column {by} has {len(names)} values; `by` compares 2 to {MOST_GROUPS} groups")
    for g, name in enumerate(names):
        rows = group == g
        if rows.sum() < FEWEST_ROWS or any(distinct(axes[axis][rows]) < 2 for axis in ("n", "d")):
            raise BadInput(
                f"group {name!r} of {by} has {rows.sum()} rows with {distinct(axes['n'][rows])} values of n and "
                f"{distinct(axes['d'][rows])} of d; `by` needs {FEWEST_ROWS} rows and two values of each"
            )


def _sample(pair: dict[str, FloatArray], loss: FloatArray, group: NDArray[np.intp], rows: Mask) -> tuple[Sample, Units]:
    sample, units = centred({name: values[rows] for name, values in pair.items()}, loss[rows])
    return Sample({**sample.log_axes, GROUP: group[rows].astype(np.float64)}, sample.log_loss), units


def _weights(group: NDArray[np.intp], count: int, seed: int) -> FloatArray:
    """Draw rows with replacement within each group, shape (count, rows)."""
    rng, weights = np.random.default_rng(seed), np.zeros((count, len(group)))
    for g in np.unique(group):
        rows = np.flatnonzero(group == g)
        weights[:, rows] = rng.multinomial(rows.size, np.full(rows.size, 1 / rows.size), size=count)
    return weights


def _data_needed(values: FloatArray, a: int, b: int, at: dict[str, float]) -> FloatArray:
    """Return the D at which group b has the loss of group a at a point, shape (B,); inf where it never does."""
    alpha, beta = values[:, 0], values[:, 1]
    (e_a, a_a, b_a), (e_b, a_b, b_b) = (values[:, 2 + 3 * g : 5 + 3 * g].T for g in (a, b))
    model = at["n"] ** -alpha
    left = e_a + a_a * model + b_a * at["d"] ** -beta - e_b - a_b * model
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(left > 0, (b_b / left) ** (1.0 / beta), np.inf)


def _held_out(
    law: GroupedChinchilla, pair: dict[str, FloatArray], loss: FloatArray, group: NDArray[np.intp]
) -> tuple[float | None, float | None, bool | None]:
    """Return the errors on the dearer rows with shared exponents and with a law for each; and if sharing holds."""
    cost = pair["n"] * pair["d"]
    known = cost <= np.quantile(cost, KNOWN_SHARE)
    single = Chinchilla()
    parts = [(group == g) & known for g in range(law.count)]
    logs = {name: np.log(values) for name, values in pair.items()}
    if any(single.obstacle({k: v[rows] for k, v in logs.items()}) for rows in parts) or known.all():
        return None, None, None
    sample, units = _sample(pair, loss, group, known)
    coords = law.shift(law.solve(sample)[None], units.axes, units.loss)
    shared = law.log_loss(coords, {**logs, GROUP: group.astype(np.float64)})[0]
    separate = np.empty_like(shared)
    for g, rows in enumerate(parts):
        own, its_units = centred({name: values[rows] for name, values in pair.items()}, loss[rows])
        coords = single.shift(single.solve(own)[None], its_units.axes, its_units.loss)
        separate[group == g] = single.log_loss(coords, logs)[0][group == g]
    squares = [((fitted - np.log(loss))[~known]) ** 2 for fitted in (shared, separate)]
    shared_square, separate_square = (float(values.mean()) for values in squares)
    count = squares[0].size
    holds = shared_square <= max(separate_square, LEAST_SQUARE) * float(fdtri(count, count, CONFIDENCE))
    return shared_square**0.5, separate_square**0.5, holds


def _vanishes(
    letter: str, factor: float, values: FloatArray, pair: dict[str, FloatArray], loss: FloatArray, rows: Mask
) -> bool:
    """Return whether a factor's term is nothing in each of a group's rows: the search went on to its own bound."""
    if letter == "E":
        return False
    axis, exponent = ("n", values[0]) if letter == "A" else ("d", values[1])
    share = factor * pair[axis][rows] ** -exponent / loss[rows]
    return bool(share.max() < LEAST_SHARE)


def _estimate(values: FloatArray) -> Estimate:
    """The first value, with the interval of the others."""
    if len(values) < 2:
        return Estimate(float(values[0]), None, None)
    lo, hi = np.quantile(values[1:], [0.05, 0.95])
    return Estimate(float(values[0]), float(lo), float(hi))


def _factor(values: FloatArray) -> Estimate:
    """A factor that may be infinite: no value where it is, and no end where more than 5 % of the replicas are."""
    value = float(values[0]) if np.isfinite(values[0]) else None
    if len(values) < 2:
        return Estimate(value, None, None)
    lo, hi = np.quantile(values[1:], [0.05, 0.95], method="nearest")
    return Estimate(value, float(lo) if np.isfinite(lo) else None, float(hi) if np.isfinite(hi) else None)


def _end(value: float | None) -> str:
    if value is None:
        return "∞"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
